"""jitgate on one machine: `python3 infra/local COMMAND`, or `make COMMAND`.

Each command first installs what it needs, inside the checkout, and stops everything that it started.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"This needs Python 3.11 or newer, not {sys.version.split()[0]}. Try `make PYTHON=python3.13 …`.")

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

sys.path += [str(ROOT / "infra" / "docs"), str(ROOT / "infra" / "release")]

COMMANDS = {
    "demo": "deploy everything to an AWS emulator, run jobs and show each step",
    "test": "run all tests: the workspace's, then those of the deployed stack",
    "deployed": "run the tests of the deployed stack, with template.yaml and with Terraform",
    "up": "start the stack and leave it running",
    "down": "stop the stack that `up` started",
    "deliver": "sign a payload and post it to the stack that `up` started",
    "recording": "draw docs/setup.svg: a session of `jitgate setup` at a terminal",
    "lint": "check the template, the Terraform module, workflows, documents and Python files",
    "bench": "measure the release binaries, and write the tables of docs/PERFORMANCE.md",
}


if TYPE_CHECKING:
    from checks import Checks
    from inventory import Inventory


class Interrupted(BaseException):
    """A signal asks this program to end; the argument is its number. No `Exception`: no handler may swallow it."""


def main() -> int:
    """Runs a command and returns the exit code."""
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
        say("\nInterrupted; everything that was started has been stopped.")
        return 128 + int(interrupted.args[0])


def _set_up(command: str) -> None:
    """Installs what the command needs, then runs this program again in the checkout's own Python environment."""
    if command in ("demo", "test", "deployed", "up", "lint", "bench", "recording"):
        toolchain.require_tools(with_docs=command in ("test", "deployed"))
        toolchain.install_npm_packages()
    with_tools = command in ("test", "deployed", "lint", "recording")
    requirements = [toolchain.RUN_PACKAGES, *([toolchain.LINT_PACKAGES] if with_tools else [])]
    toolchain.install_python_packages(*requirements)
    if command == "lint":
        toolchain.install_python_packages(toolchain.CHECKOV, into=CHECKOV)
    elif with_tools:
        toolchain.install_python_packages(toolchain.DEPLOY_PACKAGES, alone=True)
    if Path(sys.prefix).resolve() != VENV.resolve():
        python = str(VENV / "bin" / "python")  # not resolved, because Python finds its environment by this path
        os.execv(python, [python, *sys.orig_argv[1:]])


def _run(arguments: argparse.Namespace) -> int:
    # These import packages that are only installed by now.
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
    if arguments.command == "recording":
        import recording

        recording.main()
    if arguments.command == "lint":
        lint()
    if arguments.command == "bench":
        toolchain.cargo_bench()
    return 0


def _demo(binaries: dict[str, Path]) -> int:
    from checks import Checks

    started = time.monotonic()
    checks = Checks()
    _on_a_stack(binaries, checks)
    return _verdict(checks, started)


def _deployed(binaries: dict[str, Path]) -> int:
    """Runs the demo on a stack that is deployed and removed as the docs say, then on one deployed by Terraform."""
    import command_checks
    import command_faults
    import command_talk
    import command_trials
    import demo
    import monitoring_checks
    import play_checks
    import terraform
    import terraform_checks
    from checks import Checks
    from stack import stack

    started = time.monotonic()
    checks = Checks()
    found = _on_a_stack(binaries, checks, as_newcomer=True)
    command_checks.check(binaries, checks)
    command_trials.check(binaries, checks)
    command_faults.check(binaries, checks)
    command_talk.check(binaries, checks)
    heading("`make up` and `make down`")
    play_checks.check(checks)
    with_provider = terraform.find()
    if with_provider is not None:
        terraform.check(with_provider)
        heading("Starting the stack with Terraform")
        with stack(binaries, "terraform", with_provider, with_docker=True) as running:
            heading("What Terraform deployed")
            monitoring_checks.levels(running, checks)
            terraform_checks.same(found, running.found, checks)
            demo.run(running, checks)
            terraform_checks.run(running, checks)
    return _verdict(checks, started)


def _on_a_stack(binaries: dict[str, Path], checks: "Checks", as_newcomer: bool = False) -> "Inventory":
    import demo
    import monitoring_checks
    import newcomer
    import permission_checks
    import template_checks
    from stack import stack

    heading("Starting the stack")
    with stack(binaries, "demo", as_newcomer=as_newcomer, with_docker=True) as running:
        heading("What was deployed")
        template_checks.check(running, checks)
        permission_checks.check(running.found, checks)
        monitoring_checks.levels(running, checks)
        demo.run(running, checks)
        permission_checks.used(running, checks)
        if running.newcomer is not None:
            heading("Operating it as the docs say")
            newcomer.operate(running.newcomer, running.deployed, checks)
            demo.one_more(running, checks)
            newcomer.remove(running.newcomer, checks)
        return running.found


def _verdict(checks: "Checks", started: float) -> int:
    say(f"\nThe stack is stopped. This took {time.monotonic() - started:.0f} s.")
    say(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Ignores further signals: the clean-up that follows takes seconds and must not be interrupted."""
    for each in INTERRUPTIONS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


if __name__ == "__main__":
    sys.exit(main())
