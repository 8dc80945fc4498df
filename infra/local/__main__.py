"""jitgate on one machine: `python3 infra/local COMMAND`, or `make COMMAND`.

Each command first sets up what it needs, below the checkout and nowhere else, and ends whatever it started.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}. Try `make PYTHON=python3.13 …`.")

import argparse
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import toolchain
from checkout import CHECKOV, ROOT, VENV
from processes import INTERRUPTIONS
from terminal import Problem, heading, paint, say

sys.path.append(str(ROOT / "infra" / "docs"))

COMMANDS = {
    "demo": "deploy everything to an emulator, run jobs through it, and show their way",
    "test": "every test: the workspace's, then the deployed stack's end to end",
    "deployed": "the deployed stack's tests alone: by the template, then by Terraform",
    "up": "bring the stack up and leave it running",
    "down": "end what `up` left running",
    "deliver": "sign a payload, and post it to the stack that is up",
    "lint": "hold template.yaml and the local stack against their rules",
    "bench": "measure the release binaries, and write the table in docs/PERFORMANCE.md",
}


if TYPE_CHECKING:
    from checks import Checks
    from inventory import Inventory


class Interrupted(BaseException):
    """Somebody wants us to end; carries the signal's number. Not an error that anything on the way could handle."""


def main() -> int:
    """Runs a command; the exit code is 0 only if all went well."""
    parser = argparse.ArgumentParser(prog="python3 infra/local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_text in COMMANDS.items():
        command = commands.add_parser(name, help=help_text)
        if name == "deliver":
            command.add_argument("payload", type=Path)
            command.add_argument("--event", default="workflow_job")
    arguments = parser.parse_args()

    for number in INTERRUPTIONS:
        signal.signal(number, _interrupt)
    try:
        _set_up(arguments.command)
        return _run(arguments)
    except Problem as problem:
        say(f"\n{paint('✗', 'red')} {problem}")
        return 1
    except Interrupted as interrupted:
        say("\nInterrupted; everything that was started has been ended.")
        return 128 + int(interrupted.args[0])


def _set_up(command: str) -> None:
    """Installs what the command needs, and goes on in the checkout's own Python environment."""
    if command in ("demo", "test", "deployed", "up", "lint", "bench"):
        toolchain.require_tools(with_docs=command in ("test", "deployed"))
        toolchain.install_npm_packages()
    with_tools = command in ("test", "deployed", "lint")
    requirements = [toolchain.RUN_PACKAGES, *([toolchain.LINT_PACKAGES] if with_tools else [])]
    toolchain.install_python_packages(*requirements)
    if command == "lint":
        toolchain.install_python_packages(toolchain.CHECKOV, into=CHECKOV)
    elif with_tools:
        toolchain.install_python_packages(toolchain.DEPLOY_PACKAGES, alone=True)
    if Path(sys.prefix).resolve() != VENV.resolve():
        python = str(VENV / "bin" / "python")  # named in full, since Python finds its environment by this name
        os.execv(python, [python, *sys.orig_argv[1:]])


def _run(arguments: argparse.Namespace) -> int:
    # What these import has been installed only now.
    import play
    from lint import lint

    if arguments.command == "demo":
        return _demo(toolchain.build())
    if arguments.command == "test":
        binaries = toolchain.build()
        toolchain.cargo_test()
        return _deployed(binaries)
    if arguments.command == "deployed":
        return _deployed(toolchain.build())
    if arguments.command == "up":
        play.up(toolchain.build())
    if arguments.command == "down":
        play.down()
    if arguments.command == "deliver":
        play.deliver(arguments.payload, arguments.event)
    if arguments.command == "lint":
        lint()
    if arguments.command == "bench":
        toolchain.cargo_bench()
    return 0


def _demo(binaries: dict[str, Path]) -> int:
    from checks import Checks

    started = time.monotonic()
    checks = Checks()
    _by_template(binaries, checks)
    return _verdict(checks, started)


def _deployed(binaries: dict[str, Path]) -> int:
    """The demo on a stack that was deployed as the docs say, and is removed so; then the same by Terraform."""
    import demo
    import play_checks
    import terraform
    import terraform_checks
    from checks import Checks
    from stack import stack

    started = time.monotonic()
    checks = Checks()
    found = _by_template(binaries, checks, as_newcomer=True)
    heading("For play")
    play_checks.check(checks)
    with_provider = terraform.find()
    if with_provider is not None:
        terraform.check(with_provider)
        heading("Starting the stack, by Terraform")
        with stack(binaries, "terraform", with_provider) as running:
            heading("As deployed by Terraform")
            terraform_checks.same(found, running.found, checks)
            demo.run(running, checks)
            terraform_checks.run(running, checks)
    return _verdict(checks, started)


def _by_template(binaries: dict[str, Path], checks: "Checks", as_newcomer: bool = False) -> "Inventory":
    import demo
    import newcomer
    import permission_checks
    import template_checks
    from stack import stack

    heading("Starting the stack")
    with stack(binaries, "demo", as_newcomer=as_newcomer) as running:
        heading("As deployed")
        template_checks.check(running, checks)
        permission_checks.check(running.found, checks)
        demo.run(running, checks)
        permission_checks.used(running, checks)
        if running.newcomer is not None:
            heading("The days after, as the docs have them")
            newcomer.operate(running.newcomer, running.deployed, checks)
            demo.one_more(running, checks)
            newcomer.remove(running.newcomer, checks)
        return running.found


def _verdict(checks: "Checks", started: float) -> int:
    say(f"\nThe stack is down again. All this took {time.monotonic() - started:.0f} s.")
    say(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Once is enough: what follows is the clean-up, which takes seconds at most and must not be interrupted."""
    for each in INTERRUPTIONS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


if __name__ == "__main__":
    sys.exit(main())
