"""The main job, told as it happens: signed deliveries become Fargate tasks and finished jobs.

Every line is something that was seen on the outside, at the GitHub stand-in or at the AWS APIs. At its end the story is
held against what should have happened.
"""

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from checkout import TESTS
from checks import Checks
from deployment import STACK
from stack import Stack
from standin import http
from terminal import Stopwatch, heading, paint, say, table

EXAMPLES = TESTS / "node_modules" / "@octokit" / "webhooks-examples" / "api.github.com" / "index.json"

STEPS = ["delivered", "queued", "registered", "task_started", "in_progress", "completed", "deregistered"]
"""The way of a job, in the stand-in's words."""

TITLES = {
    "delivered": "delivered",
    "queued": "queued",
    "registered": "registered",
    "task_started": "task started",
    "in_progress": "in progress",
    "completed": "completed",
    "deregistered": "registration gone",
}

PATIENCE_SECONDS = 60
"""How long the jobs may take together. They take about ten seconds; a loaded machine needs more."""

ORPHAN_AGE_SECONDS = 3600
"""Older than any grace period."""


@dataclass(frozen=True)
class Order:
    """A job to create: its name, what it asks for, and GitHub's example that its payloads are made of."""

    name: str
    labels: list[str]
    example: int


ORDERS = [
    Order("build", ["fargate"], example=0),
    Order("test", ["fargate", "linux"], example=5),
    Order("release", ["Fargate", "Linux", "X64"], example=6),
]

STRANGER = Order("train", ["self-hosted", "gpu"], example=5)
"""Its labels fit no class."""


@dataclass
class Job:
    """A job that was created, and when it took each step, in seconds since its delivery."""

    order: Order
    job_id: int
    answer: dict[str, Any]
    steps: dict[str, float]
    conclusion: str = ""


def run(stack: Stack) -> Checks:
    """Tells the whole story, and says how much of it was as it should be."""
    checks = Checks()
    watch = Stopwatch()
    heading("Deliveries that must not start a runner")
    _forged(stack, checks)
    stranger = _queue(stack, STRANGER)
    checks.that(
        f"labels {STRANGER.labels} fit no class: answered 200, ignored",
        stranger.answer["status"] == 200 and _says(stranger.answer["body"], "ignored"),
        stranger.answer,
    )

    heading("Jobs and their way")
    jobs = [_queue(stack, order) for order in ORDERS]
    _follow(stack, watch, jobs)

    heading("An orphan, and the cleaner")
    _orphan(stack, checks)

    heading("Seen at the end")
    for job in jobs:
        missing = [TITLES[step] for step in STEPS if step not in job.steps]
        checks.that(f"job {job.order.name} went all the way", not missing, f"never: {', '.join(missing)}")
        checks.that(f"job {job.order.name} ended well", job.conclusion == "success", job.conclusion or "still not ended")
    _nothing_left(stack, checks, [job.job_id for job in jobs])

    say()
    say(_table(jobs))
    if checks.failed:
        _explain(stack)
    return checks


def _forged(stack: Stack, checks: Checks) -> None:
    """One of GitHub's payloads, signed by somebody who does not know the secret."""
    events = json.loads(EXAMPLES.read_text())
    [payload] = [event["examples"][6] for event in events if event["name"] == "workflow_job"]
    headers = {
        "content-type": "application/json",
        "x-github-event": "workflow_job",
        "x-github-delivery": "00000000-0000-0000-0000-000000000000",
        "x-hub-signature-256": "sha256=" + "0" * 64,
    }
    answer = http("POST", stack.deployed.webhook_url, json.dumps(payload).encode(), headers)
    checks.that("a forged signature is answered 401", answer.status == 401, answer)


def _queue(stack: Stack, order: Order) -> Job:
    created = stack.github.queue_job(order.name, order.labels, order.example)
    return Job(order, created["job_id"], created["delivery"], {})


def _follow(stack: Stack, watch: Stopwatch, jobs: list[Job]) -> None:
    """Says what happens, until every job has gone its way or patience ends."""
    by_id = {job.job_id: job for job in jobs}
    told = 0
    delivered_at: dict[int, datetime] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and any(len(job.steps) < len(STEPS) for job in jobs):
        time.sleep(0.1)
        events = stack.github.timeline()
        for event in events[told:]:
            job = by_id.get(event["job_id"])
            if job is None or event["event"] not in STEPS:
                continue
            at = datetime.fromisoformat(event["at"])
            seconds = (at - delivered_at.setdefault(job.job_id, at)).total_seconds()
            job.steps.setdefault(event["event"], seconds)
            title = TITLES[event["event"]].ljust(max(map(len, TITLES.values())))
            detail = paint(event.get("detail") or "", "dim")
            say(f"  {watch}  {job.order.name.ljust(7)}  {paint(title, 'cyan')}  {detail}".rstrip())
        told = len(events)
    for seen in stack.github.state()["jobs"]:
        if seen["id"] in by_id:
            by_id[seen["id"]].conclusion = seen["conclusion"] or ""


def _orphan(stack: Stack, checks: Checks) -> None:
    """A registration whose task never came: a launch that failed half-way leaves one."""
    name = f"jit-default-77-1-{int(time.time()) - ORPHAN_AGE_SECONDS}"
    stack.github.register_runner(name, ["fargate"])
    say(f"  {name} is registered, offline, and has no task")
    answer = stack.aws.client("lambda").invoke(FunctionName=stack.deployed.cleaner, Payload=b"{}")
    said = answer["Payload"].read().decode()
    checks.that("the cleaner ran", "FunctionError" not in answer, said)
    left = [runner["name"] for runner in stack.github.state()["runners"]]
    checks.that("the cleaner deleted the orphan", name not in left, f"registered: {left}")


def _nothing_left(stack: Stack, checks: Checks, job_ids: list[int]) -> None:
    """No registration, no task, no message; and no task but the jobs' own was ever started."""
    left = stack.github.state()["runners"]
    checks.that("no registration is left", left == [], left)
    ecs = stack.aws.client("ecs")
    running = ecs.list_tasks(cluster=stack.deployed.cluster, desiredStatus="RUNNING")["taskArns"]
    checks.that("no task is left running", running == [], running)
    stopped = ecs.list_tasks(cluster=stack.deployed.cluster, desiredStatus="STOPPED")["taskArns"]
    tasks = ecs.describe_tasks(cluster=stack.deployed.cluster, tasks=stopped)["tasks"] if stopped else []
    launches = sorted(task["startedBy"] for task in tasks)
    checks.that("each job had one task", launches == sorted(f"jit-{job_id}-1" for job_id in job_ids), launches)
    for name, url in (("job queue", stack.deployed.job_queue_url), ("dead-letter queue", stack.deployed.dead_letter_queue_url)):
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
        counts = stack.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
        checks.that(f"the {name} is empty", all(count == "0" for count in counts.values()), counts)


def _table(jobs: list[Job]) -> str:
    def cell(job: Job, step: str) -> str:
        return f"{job.steps[step]:.1f} s" if step in job.steps else "missing"

    header = ["job", "labels", *(TITLES[step] for step in STEPS)]
    rows = [[job.order.name, ", ".join(job.order.labels), *(cell(job, step) for step in STEPS)] for job in jobs]
    return table(header, rows)


def _explain(stack: Stack) -> None:
    """The functions' own last words, where they help most."""
    logs = stack.aws.client("logs")
    for function in ("webhook", "worker", "cleaner"):
        heading(f"What {function} logged last")
        events = logs.filter_log_events(logGroupName=f"/jitgate/{STACK}/{function}")["events"]
        for event in events[-20:]:
            say(f"  {event['message'].rstrip()}")


def _says(body: str, status: str) -> bool:
    try:
        return bool(json.loads(body)["status"] == status)
    except (ValueError, KeyError, TypeError):
        return False
