"""What the deployed cleaner heals: each kind of difference between GitHub, ECS and the hook's log that can be shown in
seconds.

The cleaner's limits are minutes. Nothing of it is changed for the demo; instead, its own notes on the tasks, which say
since when something has been so, are moved back between its two looks, as if the minutes had passed.

Not shown, since they need real minutes: a registration whose runner never came (a second look after 45 seconds), a task
older than its class allows, a runner that another job took. The stories of the workspace turn the clock and show them
all (`tests/tests/heal/`).
"""

import json
import time
from collections.abc import Callable
from typing import Any

from checks import Checks
from stack import Stack
from terminal import paint, say

PATIENCE_SECONDS = 60
"""For each thing to come about. A loaded machine needs much of it."""

IDLE_SINCE = "jitgate:idle-since"

CANCELLED = "jitgate: its job ended without a runner"
RETIRED = "jitgate: its runner has no job"
UNREGISTERED = "jitgate: its registration is gone"
ENDED_BY_ITSELF = "Essential container in task exited"
"""Why tasks stopped."""

ORPHAN_AGE_SECONDS = 3600
"""Older than any grace period."""

IDLE_FOR_SECONDS = 11 * 60
"""Longer than the class's limit, of ten minutes."""

GONE_FOR_SECONDS = 5 * 60
"""Longer than a registration has to be seen gone."""

UNTOLD_FOR_MINUTES = 6
"""GitHub is asked about jobs that have been queued for five minutes or more."""

FAILED_MINUTES_AGO = 2
"""A failed delivery is repeated after a minute."""


def run(stack: Stack, checks: Checks) -> list[str]:
    """Breaks things, has the cleaner look twice, and says what became of them: every launch that had to follow.

    No job's labels are a part of another's, so that the surplus runner, which has only one of them, takes none."""
    github = stack.github
    orphan = f"jit-default-77-1-{int(time.time()) - ORPHAN_AGE_SECONDS}"
    github.register_runner(orphan, ["fargate"])
    _tell("an orphan", f"{orphan} is registered, offline again, and has no task")
    surplus = _job(stack, "surplus", ["fargate"], cancelled=True)
    _tell("a surplus runner", "its job was cancelled while its task started, and nobody was told")
    ghost = _job(stack, "ghost", ["fargate", "linux"], fate="hangs")
    _tell("a ghost", "its job ends and its registration goes, but its container hangs")
    # The others come after this look: while a message is on the queue, the cleaner takes it for this job's.
    untold = _job(stack, "untold", ["fargate", "x64"], minutes_ago=UNTOLD_FOR_MINUTES, told="never")
    _tell("an untold job", f"queued {UNTOLD_FOR_MINUTES} minutes ago; GitHub never delivered it")
    _wait("the surplus runner is online", lambda: _status_of_runner(stack, surplus) == "online")
    _wait("the ghost's registration is gone", lambda: _happened(stack, ghost, "deregistered"))

    _look(stack, checks, "first")
    registered = [runner["name"] for runner in github.state()["runners"]]
    checks.that("an orphaned registration is deleted", orphan not in registered, registered)
    idle = _task_of(stack, surplus)
    noted = {tag["key"] for tag in idle["tags"]}
    checks.that(
        "one look does not stop an idle runner, it only notes that it was idle",
        idle["lastStatus"] == "RUNNING" and IDLE_SINCE in noted,
        idle,
    )
    _note(stack, idle, IDLE_SINCE, IDLE_FOR_SECONDS)
    _note(stack, _task_of(stack, ghost), "jitgate:gone-since", GONE_FOR_SECONDS)
    say("  (what it noted, or would have after four minutes, is moved back, as if the minutes had passed)")

    lost = _job(stack, "lost", ["linux", "x64"], minutes_ago=FAILED_MINUTES_AGO, told="in-vain")
    _tell("a lost delivery", f"it failed {FAILED_MINUTES_AGO} minutes ago, and GitHub does not repeat it by itself")
    recalled = _job(stack, "recalled", ["fargate", "linux"], fate="slow")
    _wait("a task starts for a job", lambda: _happened(stack, recalled, "task_started"))
    github.cancel_job(recalled)
    _tell("a cancelled job", "somebody cancelled it before its runner came; the worker is told, without the cleaner")
    _wait("its task stops", lambda: (_task_of(stack, recalled) or {}).get("stoppedAt"))
    why = _task_of(stack, recalled)["stoppedReason"]
    checks.that("what was started for a cancelled job is taken back", why == CANCELLED, why)

    unstarted = _job(stack, "unstarted", ["fargate", "linux"], fate="never-starts")
    _wait("the task stops before its runner came", lambda: (_task_of(stack, unstarted) or {}).get("stoppedAt"))
    _tell("a failed start", _task_of(stack, unstarted)["stoppedReason"])
    _announce_stop(stack, checks, _task_of(stack, unstarted))

    _look(stack, checks, "second")
    # Its registration goes first. Then the runner may end by itself before the cleaner stops its task.
    _wait("", lambda: _task_of(stack, surplus).get("stoppedAt"))
    why = _task_of(stack, surplus).get("stoppedReason")
    checks.that(
        "a surplus runner, idle at both looks, is retired and its task stopped", why in (RETIRED, ENDED_BY_ITSELF), why
    )
    why = _task_of(stack, ghost)["stoppedReason"]
    checks.that("a task whose registration is gone is stopped", why == UNREGISTERED, why)
    for what, job in (
        ("a job of which nobody told is found, and runs", untold),
        ("a failed delivery is repeated, and its job runs", lost),
        ("a job whose task never started is launched again, and runs", unstarted),
    ):
        checks.that(what, _wait("", lambda job=job: _conclusion(stack, job) == "success"), _conclusion(stack, job))
    checks.that("GitHub was asked to repeat that delivery", _happened(stack, lost, "redelivered"), "not asked")
    return [f"jit-{job}-1" for job in (surplus, ghost, untold, lost, recalled, unstarted)] + [f"jit-{unstarted}-2"]


def _job(stack: Stack, name: str, labels: list[str], **trouble: Any) -> int:
    return int(stack.github.queue_job(name, labels, 5, **trouble)["job_id"])


def _look(stack: Stack, checks: Checks, which: str) -> None:
    _invoke(stack, checks, f"the cleaner looks, for the {which} time", {})


def _invoke(stack: Stack, checks: Checks, what: str, event: dict[str, Any]) -> None:
    functions = stack.aws.client("lambda")
    answer = functions.invoke(FunctionName=stack.deployed.cleaner, Payload=json.dumps(event, default=str).encode())
    checks.that(what, "FunctionError" not in answer, answer["Payload"].read().decode())


def _announce_stop(stack: Stack, checks: Checks, task: dict[str, Any]) -> None:
    """What EventBridge does when a task stops, by the rule that is deployed; the emulator's ECS sends no events, and
    nobody else may send any in its name."""
    events = stack.aws.client("events")
    [rule] = events.list_rules()["Rules"]
    event = {
        "version": "0",
        "id": "00000000-0000-0000-0000-000000000000",
        "account": "000000000000",
        "region": "us-east-1",
        "time": "2026-01-01T00:00:00Z",
        "source": "aws.ecs",
        "detail-type": "ECS Task State Change",
        "resources": [task["taskArn"]],
        "detail": task,
    }
    fits = events.test_event_pattern(EventPattern=rule["EventPattern"], Event=json.dumps(event, default=str))["Result"]
    [target] = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    cleaner = stack.aws.client("lambda").get_function_configuration(FunctionName=stack.deployed.cleaner)
    checks.that(
        "the rule hears of the stop, and tells the cleaner", fits and target["Arn"] == cleaner["FunctionArn"], target
    )
    _invoke(stack, checks, "the cleaner hears of the stop", event)


def _task_of(stack: Stack, job: int) -> dict[str, Any]:
    """The task of a job's first launch."""
    ecs, cluster = stack.aws.client("ecs"), stack.deployed.cluster
    arns = [
        arn
        for status in ("RUNNING", "STOPPED")
        for arn in ecs.list_tasks(cluster=cluster, desiredStatus=status)["taskArns"]
    ]
    tasks = ecs.describe_tasks(cluster=cluster, tasks=arns, include=["TAGS"])["tasks"] if arns else []
    return next((task for task in tasks if task.get("startedBy") == f"jit-{job}-1"), {})


def _note(stack: Stack, task: dict[str, Any], key: str, seconds_ago: int) -> None:
    moment = str(int(time.time()) - seconds_ago)
    stack.aws.client("ecs").tag_resource(resourceArn=task["taskArn"], tags=[{"key": key, "value": moment}])


def _status_of_runner(stack: Stack, job: int) -> str | None:
    runners = stack.github.state()["runners"]
    return next((runner["status"] for runner in runners if f"-{job}-1-" in runner["name"]), None)


def _happened(stack: Stack, job: int, what: str) -> bool:
    return any(event["job_id"] == job and event["event"] == what for event in stack.github.timeline())


def _conclusion(stack: Stack, job: int) -> str | None:
    return next(seen["conclusion"] for seen in stack.github.state()["jobs"] if seen["id"] == job)


def _wait(what: str, holds: Callable[[], Any]) -> bool:
    """Until it holds, or patience ends: what comes after will tell."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (held := bool(holds())) and time.monotonic() < deadline:
        time.sleep(0.2)
    if what:
        say(f"  {what}" if held else f"  {what}: not within {PATIENCE_SECONDS} s")
    return held


def _tell(what: str, detail: str) -> None:
    say(f"  {paint(what.ljust(18), 'cyan')} {paint(detail, 'dim')}")
