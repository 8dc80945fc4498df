"""Runs jobs on a fleet that `jitgate setup` has made, and asserts what `jitgate cost` makes of their tasks and what
`jitgate replay` makes of their deliveries."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from checks import Checks
from command import Result
from command_checks import REPOSITORY, Scene
from terminal import heading

JOBS = [2, 7, 12]
"""The minutes of each job's run."""

PULL_SECONDS, REST_SECONDS, STOP_SECONDS = 30, 4, 10
"""The parts of a task's start, and its stop."""

VCPU, MEMORY, ADDRESS = 0.04048, 0.004445, 0.005
"""Dollars an hour of Fargate on x86-64 and of a public IPv4 address, from AWS's pages."""

GITHUB_MINUTE = 0.002
"""Dollars a minute of GitHub's runner for one vCPU and 4 GB on x86-64, from its page."""

DELIVERIES_A_PAGE = 100

PATIENCE_SECONDS = 60
"""How long the jobs may take on a loaded machine."""


def check(there: Scene, checks: Checks) -> None:
    """All checks of both commands."""
    heading("`jitgate cost`")
    before = there.command.run("cost", "--since", "1d")
    checks.that("it adds up a fleet of which little has run", before.code == 0, f"{before.json} {before.text}")
    jobs = [_queue(there) for _ in JOBS]
    checks.that("jobs run", _all_end(there, jobs), there.github.state()["jobs"])
    for job, minutes in zip(jobs, JOBS, strict=True):
        _announce_end(there, checks, job, minutes)
        # EventBridge may announce an end twice.
        _announce_end(there, checks, job, minutes)
    _adds_up(there, checks, before)
    heading("`jitgate replay`")
    _replays(there, checks, jobs)


def check_long_log(there: Scene, checks: Checks) -> None:
    """Records more deliveries than GitHub shows on a page. They failed, and no class would have taken their jobs."""
    heading("`jitgate replay --record`, with a long log")
    told = {"repository": REPOSITORY, "told": "in-vain", "minutes_ago": 60}
    jobs = {there.github.queue_job("build", ["nobody"], 0, **told)["job_id"] for _ in range(DELIVERIES_A_PAGE + 1)}
    recording = there.command.home / "many.jsonl"
    done = there.command.run("replay", "--record", "3d", str(recording))
    recorded = {json.loads(line)["workflow_job"]["id"] for line in recording.read_text().splitlines()}
    checks.that("every page is read", done.code == 0 and recorded >= jobs, f"{len(recorded & jobs)}: {done}")


def _queue(there: Scene) -> int:
    job: int = there.github.queue_job("build", ["fargate"], 0, repository=REPOSITORY)["job_id"]
    return job


def _all_end(there: Scene, jobs: list[int]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        ended = {job["id"] for job in there.github.state()["jobs"] if job["conclusion"]}
        if ended >= set(jobs) and all(_task_of(there, job).get("stoppedAt") for job in jobs):
            return True
        time.sleep(0.3)
    return False


def _cluster(there: Scene) -> str:
    [cluster] = there.aws.client("ecs").list_clusters()["clusterArns"]
    return str(cluster)


def _task_of(there: Scene, job: int) -> dict[str, Any]:
    ecs, cluster = there.aws.client("ecs"), _cluster(there)
    arns = ecs.list_tasks(cluster=cluster, desiredStatus="STOPPED")["taskArns"]
    tasks = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
    return next((task for task in tasks if task.get("startedBy") == f"jit-{job}-1"), {})


def _announce_end(there: Scene, checks: Checks, job: int, minutes: int) -> None:
    """Does what EventBridge does when a task stops: the emulator's ECS sends no events. It has no containers either, so
    the exit code and the moments are those of a runner that did a job of so many minutes."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    started = began + timedelta(seconds=PULL_SECONDS + REST_SECONDS)
    stopping = started + timedelta(minutes=minutes)
    moments = {
        "createdAt": began,
        "pullStartedAt": began,
        "pullStoppedAt": began + timedelta(seconds=PULL_SECONDS),
        "startedAt": started,
        "stoppingAt": stopping,
        "stoppedAt": stopping + timedelta(seconds=STOP_SECONDS),
    }
    task = _task_of(there, job)
    detail = {
        **task,
        **{name: moment.isoformat() for name, moment in moments.items()},
        "stopCode": "EssentialContainerExited",
        "containers": [{**container, "exitCode": 0} for container in task["containers"]],
        "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
    }
    event = {"source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": detail}
    functions = there.aws.client("lambda")
    [cleaner] = [
        each["FunctionName"] for each in functions.list_functions()["Functions"] if "Cleaner" in each["FunctionName"]
    ]
    answer = functions.invoke(FunctionName=cleaner, Payload=json.dumps(event, default=str).encode())
    said = answer["Payload"].read().decode()
    if "FunctionError" in answer:
        checks.that("the cleaner takes the event", False, said)


def _adds_up(there: Scene, checks: Checks, before: Result) -> None:
    done = _until_counted(there, before, len(JOBS))
    found, earlier = done.json["runners"], before.json["runners"]
    checks.that("each task counts once", found["tasks"] - earlier["tasks"] == len(JOBS), done.json)
    hours = sum(minutes * 60 + PULL_SECONDS + REST_SECONDS + STOP_SECONDS for minutes in JOBS) / 3600
    expected = hours * (VCPU + 4 * MEMORY + ADDRESS)
    dollars = found["total_dollars"] - earlier["total_dollars"]
    checks.that("they cost what their size and seconds cost", abs(dollars - expected) < 1e-5, (dollars, expected))
    github = found["github"]["dollars"] - earlier["github"]["dollars"]
    on_github = sum(JOBS) * GITHUB_MINUTE
    checks.that("beside what GitHub takes for these minutes", abs(github - on_github) < 1e-5, (github, on_github))
    names = [group["name"] for group in done.json["groups"]]
    checks.that("under their repository", names == [REPOSITORY], names)
    for by in ("workflow", "class", "day"):
        groups = there.command.run("cost", "--since", "1d", "--by", by).json["groups"]
        total = sum(group["total_dollars"] for group in groups)
        checks.that(f"by {by}, it is the same sum", abs(total - found["total_dollars"]) < 1e-5, groups)
    picture = there.command.home / "cost.svg"
    drawn = there.command.run("cost", "--svg", str(picture))
    checks.that("--svg writes the chart", drawn.code == 0 and REPOSITORY in picture.read_text(), drawn.text)


def _until_counted(there: Scene, before: Result, tasks: int) -> Result:
    """The answer once the lines are in the log, which takes the emulator a moment."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        done = there.command.run("cost", "--since", "1d")
        if done.json["runners"]["tasks"] >= before.json["runners"]["tasks"] + tasks or time.monotonic() > deadline:
            return done
        time.sleep(1)


def _replays(there: Scene, checks: Checks, jobs: list[int]) -> None:
    home = there.command.home
    recording, same, changed = home / "deliveries.jsonl", home / "same.json", home / "changed.json"
    done = there.command.run("replay", "--record", "3d", str(recording))
    text = recording.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    checks.that(
        "--record stores a line for each delivery", done.code == 0 and done.json["deliveries"] == len(lines), done
    )
    recorded = {line["workflow_job"]["id"] for line in lines}
    checks.that("with every job that was queued", recorded >= set(jobs), recorded)
    checks.that("the file is its user's alone", recording.stat().st_mode & 0o777 == 0o600, recording.stat().st_mode)
    checks.that("it has no signature and no token", "sha256=" not in text and "sender" not in text, text)
    again = there.command.run("replay", "--record", "3d", str(recording))
    checks.that("it is not overwritten", again.code == 2 and recording.read_text() == text, again)

    functions = there.aws.client("lambda")
    [webhook] = [each for each in functions.list_functions()["Functions"] if "Webhook" in each["FunctionName"]]
    classes = json.loads(webhook["Environment"]["Variables"]["RUNNER_CLASSES"])
    same.write_text(json.dumps(classes))
    kept = there.command.run("replay", str(recording), "--classes", str(same))
    checks.that(
        "the deployed classes change nothing, against themselves",
        kept.code == 0 and kept.json["counts"]["same"] == len(recorded) and kept.json["against"] is not None,
        kept,
    )
    changed.write_text(json.dumps([{**each, "labels": ["elsewhere"]} for each in classes]))
    lost = there.command.run("replay", str(recording), "--classes", str(changed))
    checks.that(
        "other classes take these jobs no longer: exit code 1",
        lost.code == 1 and lost.json["counts"]["lost"] >= len(jobs),
        lost,
    )
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    offline = there.command.run("replay", str(recording), "--classes", str(changed), "--against", str(same), **nobody)
    checks.that(
        "with --against it is the same without an account", offline.json["counts"] == lost.json["counts"], offline
    )
    alone = there.command.run("replay", str(recording), "--classes", str(same), **nobody)
    checks.that(
        "without either, the new classes are judged alone",
        alone.code == 0 and alone.json["not_compared"] is not None and alone.json["counts"]["taken"] >= len(jobs),
        alone,
    )
