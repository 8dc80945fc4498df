"""Breaks each thing that `jitgate doctor` looks at, and asserts that it is found, and found right once it is mended.

Each breakage costs little, and a run of the command some seconds, so those that do not hide each other are broken
together.
"""

import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass

import breakages
from breakages import VERSION, Undo
from checks import Checks
from command import Result
from command_checks import Scene
from terminal import heading

NOT_AT_AN_EMULATOR = {"quotas"}
"""Checks of what the emulator does not have: Service Quotas. Tests in `infra/cli/src` break these."""

SLOW_RUN_SECONDS = 90
"""How long what was broken may take to show, or to be right again."""


@dataclass(frozen=True)
class Breakage:
    """Something that is broken."""

    check: str
    says: str
    """What the finding says, in what it found or in what to do."""
    breaks: Callable[[Scene], Undo | None]
    """Breaks it. Returns what mends it; nothing if `--fix` does."""


def check(there: Scene, checks: Checks) -> None:
    """Breaks everything, in rounds."""
    heading("`jitgate doctor`: each check broken, found and mended")
    prepare(there, checks)
    for round_ in ROUNDS:
        _round(there, checks, round_)
    breakages.redeliver(there)
    left = _until(there, lambda bad: not bad, mends=True)
    checks.that("in the end all that can be looked at is right", not left, left)


def prepare(there: Scene, checks: Checks) -> None:
    """Gives the fleet an image that can be looked at, and mends what earlier stories left behind."""
    breakages.push_image(there)
    image = f"{urllib.parse.urlsplit(there.aws.url).netloc}/runner:{VERSION}"
    done = there.command.run("upgrade", "--yes", *there.code, "--image", image)
    checks.that("`upgrade --image` changes the image", done.code == 0, f"{done.code}\n{done.text}")
    breakages.clean(there)
    breakages.redeliver(there)
    # A busy machine may answer too late at first.
    deadline = time.monotonic() + SLOW_RUN_SECONDS
    while _unknown(well := examine(there)) != NOT_AT_AN_EMULATOR and time.monotonic() < deadline:
        time.sleep(1)
    checks.that("at first all is right", not _bad(well), _bad(well))
    checks.that("what the emulator lacks is not looked at", _unknown(well) == NOT_AT_AN_EMULATOR, _unknown(well))
    checks.that("which the exit code tells", well.code == 3, well.code)


def _unknown(found: Result) -> set[str]:
    return {each["check"] for each in found.json.get("checks", []) if each["outcome"] == "unknown"}


def examine(there: Scene, *options: str) -> Result:
    """Runs the command."""
    return there.command.run("doctor", *options)


def _bad(found: Result) -> dict[str, str]:
    checks = found.json.get("checks", [])
    return {each["check"]: f"{each['what']} {each['todo']}" for each in checks if each["outcome"] == "bad"}


def _round(there: Scene, checks: Checks, together: list[Breakage]) -> None:
    undos = [breakage.breaks(there) for breakage in together]
    found = _until(there, lambda bad: all(each.check in bad for each in together))
    for breakage in together:
        said = found.get(breakage.check, "")
        checks.that(f"{breakage.check}: {breakage.says!r} is found", breakage.says in said, said or found)
    if None in undos:
        there.command.run("doctor", "--fix", "--yes")
    for undo in filter(None, reversed(undos)):
        undo()
    left = _until(there, lambda bad: not any(each.check in bad for each in together), mends=True)
    broken = [each.check for each in together if each.check in left]
    checks.that(f"{', '.join(each.check for each in together)}: mended", not broken, left)


def _until(there: Scene, holds: Callable[[dict[str, str]], bool], mends: bool = False) -> dict[str, str]:
    """What is wrong, as soon as this holds, or at last. Deliveries may fail as long as anything is wrong."""
    deadline = time.monotonic() + SLOW_RUN_SECONDS
    while True:
        bad = _bad(examine(there))
        if holds(bad) or time.monotonic() > deadline:
            return bad
        if mends and "deliveries" in bad:
            breakages.redeliver(there)
        time.sleep(1)


ROUNDS = [
    [
        Breakage("the functions' version", "is 0.0.1", breakages.of_version),
        Breakage("the webhook's Function URL is open", "lambda:InvokeFunction", breakages.url),
        Breakage("the worker's event source", "disabled", breakages.event_source),
        Breakage("the queue moves", "the oldest for", breakages.queue),
        Breakage("the cleaner's schedule and rule", "schedule is off", breakages.schedule),
        Breakage("dead letters", "see `jitgate dead-letters`", breakages.dead_letter),
        Breakage("alarms", "docs/OPERATIONS.md", breakages.alarm),
        Breakage("ECS's role", "create-service-linked-role", breakages.ecs_role),
        Breakage("task definitions and their roles", "does not trust", breakages.trust),
        Breakage(
            "subnets: a way out, and free addresses", "subnet-00000000 does not exist", breakages.subnets_and_group
        ),
        Breakage("runner groups admit who asks", "has no runner group", lambda there: breakages.nothing),
        Breakage("the image can be pulled", "there is no", breakages.image),
        Breakage("starts of the last hour", "no way out to the registry", breakages.failed_starts),
        Breakage("the App's permissions and event", "actions: read", breakages.permissions),
        Breakage("the App's webhook", "elsewhere.example", breakages.hook),
        Breakage("deliveries", "failed", breakages.delivery),
        Breakage("GitHub's calls left of the hour", "renewed in", breakages.budget),
        Breakage("the runner's version", f"{VERSION} ends in", breakages.end_of_version),
    ],
    [
        Breakage("the cleaner's passes", "none within 15 minutes", breakages.passes),
        Breakage("the cleaner's schedule and rule", "rule is off", breakages.rule),
        Breakage("where a start's time goes", "SOCI", breakages.slow_starts),
        Breakage("an unsigned delivery is refused", "429", breakages.throttled),
        Breakage("installations", "is suspended", breakages.suspension),
    ],
    [
        Breakage(
            "a signed ping is taken", "jitgate app", lambda there: breakages.change_secret(there, webhook_secret="")
        ),
        Breakage("runner groups admit who asks", "does not admit", breakages.closed_group),
        Breakage("the image can be pulled", "may not pull", breakages.image_in_ecr),
    ],
    [Breakage("runners may be registered", "403", breakages.token)],
    [
        Breakage(
            "the secret holds an App's key", "jitgate app", lambda there: breakages.change_secret(there, private_key="")
        )
    ],
    [Breakage("the App signs in", "app_id", lambda there: breakages.change_secret(there, app_id="1"))],
]
"""What is broken together."""
