"""Child processes that never outlive this program.

Each has its own process group, so that its own children end with it. The emulator, for example, runs the functions as
child processes.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from terminal import Problem

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals of Ctrl-C, of a supervisor and of a closing terminal."""

GRACE_SECONDS = 5.0
"""How long a group may take to end after SIGTERM, before it is killed."""

READY_SECONDS = 60.0
"""How long a server may take to start. A loaded machine needs much of it."""


class Server:
    """A child process that serves until it is stopped. Its output goes to a log file."""

    def __init__(self, name: str, command: list[str], log: Path, env: dict[str, str]) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._child.pid

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Waits until the server is ready. Raises a `Problem` with the end of its log if it ends or hangs."""
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            if self._child.poll() is not None:
                raise Problem(f"{self.name} ended with code {self._child.returncode}:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise Problem(f"{self.name} was not ready after {READY_SECONDS:.0f} s:\n{self.last_words()}")
            time.sleep(0.05)

    def last_words(self, lines: int = 15) -> str:
        """The end of its log, indented."""
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(f"    {line}" for line in text) + f"\n  The whole log: {self.log}"

    def stop(self) -> None:
        """Stops the whole process group and waits until it is gone."""
        end_group(self.pid, reap=self._child)


def end_group(group: int, reap: subprocess.Popen[bytes] | None = None) -> None:
    """Asks a process group to end, and kills the rest of it after `GRACE_SECONDS`."""
    for word in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + GRACE_SECONDS
        try:
            os.killpg(group, word)
            while time.monotonic() < deadline:
                if reap is not None:
                    reap.poll()
                os.killpg(group, 0)
                time.sleep(0.02)
        except (ProcessLookupError, PermissionError):
            break
    if reap is not None:
        reap.wait()


def serve(ending: ExitStack, name: str, command: list[str], log: Path, env: dict[str, str]) -> Server:
    """Starts a server that stops when `ending` closes."""
    with _undisturbed():
        server = Server(name, command, log, env)
        ending.callback(server.stop)
    return server


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs a command whose output the terminal shows. An interruption also ends its process group."""
    child = None
    try:
        with _undisturbed():
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        output, _ = child.communicate()
    except BaseException:
        if child is not None:
            end_group(child.pid, reap=child)
        raise
    return subprocess.CompletedProcess(command, child.returncode, output)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Delays signals until the block is done. A signal between a child's start and the note of its process would leave
    the child running."""
    kept_back: list[int] = []
    handlers = {number: signal.signal(number, lambda number, _: kept_back.append(number)) for number in INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for kept in kept_back:
            signal.raise_signal(kept)


def free_port() -> int:
    """A free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def chosen_port(variable: str) -> int:
    """The port that an environment variable asks for, or a free one."""
    wanted = os.environ.get(variable)
    if not wanted:
        return free_port()
    if not wanted.isdecimal() or not 0 < int(wanted) < 65536:
        raise Problem(f"{variable}={wanted} is not a port. Set it to a number up to 65535, or unset it.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(wanted)))
        except OSError as error:
            raise Problem(
                f"Port {wanted} of 127.0.0.1 cannot be used ({error.strerror}). Stop the program that uses it (`make"
                f" down`, if it is an earlier stack), set {variable} to another port, or unset it for a free one."
            ) from error
    return int(wanted)
