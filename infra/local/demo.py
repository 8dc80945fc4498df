"""The main job, told as it happens: signed deliveries become Fargate tasks and finished jobs.

Every line is something that was seen on the outside, at the GitHub stand-in or at the AWS APIs. At its end the story is
held against what should have happened.
"""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import healing
import monitoring_checks
from checkout import TESTS
from checks import Checks
from deployment import STACK
from stack import Stack
from standin import http
from terminal import heading, paint, say, table

EXAMPLES = TESTS / "node_modules" / "@octokit" / "webhooks-examples" / "api.github.com" / "index.json"

STEPS = ["delivered", "queued", "registered", "task started", "in progress", "completed", "registration gone"]
"""The way of a job."""

SEEN_AS = {
    "registered": "registered",
    "task_started": "task started",
    "in_progress": "in progress",
    "completed": "completed",
    "deregistered": "registration gone",
}
"""The stand-in's words for them."""

ON_THE_QUEUE = "queued → 202"
"""How the stand-in notes a delivery of `queued` that the webhook took: it answers 202 once the message is sent."""

PATIENCE_SECONDS = 60
"""How long the jobs may take together. They take about ten seconds; a loaded machine needs more."""


@dataclass(frozen=True)
class Order:
    """A job to create: its name, what it asks for, and GitHub's example that its payloads are made of."""

    name: str
    labels: list[str]
    example: int


ORDERS = [
    Order("build", ["fargate", "linux"], example=0),
    Order("lint", ["fargate", "linux"], example=1),
    Order("test", ["fargate", "x64"], example=2),
    Order("fuzz", ["fargate", "x64"], example=3),
    Order("docs", ["linux", "x64"], example=4),
    Order("bench", ["Linux", "X64"], example=5),
    Order("package", ["Fargate", "Linux"], example=6),
    Order("release", ["x64", "fargate"], example=7),
]
"""One for each example of `workflow_job` that GitHub publishes.

No job's labels are a part of another's: a runner takes any job whose labels it has, so one made for a job that asks for
more could take a job that asks for less, whose own runner then could not take the other.
"""

STRANGER = Order("train", ["self-hosted", "gpu"], example=5)
"""Its labels fit no class."""


@dataclass
class Job:
    """A job that was created, and when it took each step, in seconds since then."""

    order: Order
    job_id: int
    created: datetime
    answer: dict[str, Any]
    steps: dict[str, float] = field(default_factory=dict)
    conclusion: str = ""


def run(stack: Stack, checks: Checks) -> None:
    """Tells the whole story, and counts how much of it was as it should be."""
    heading("Deliveries that must not start a runner")
    _forged(stack, checks)
    stranger = _queue(stack, STRANGER)
    checks.that(
        f"labels {STRANGER.labels} fit no class: answered 200, ignored",
        stranger.answer["status"] == 200 and _says(stranger.answer["body"], "ignored"),
        stranger.answer,
    )

    heading("Jobs and their way")
    say("  (runners with the same labels are interchangeable: a job may run on the one that was made for another)")
    jobs = [_queue(stack, order) for order in ORDERS]
    _follow(stack, jobs)

    heading("What breaks, and how the cleaner heals it")
    healed = healing.run(stack, checks)

    heading("Seen at the end")
    for job in jobs:
        missing = [step for step in STEPS if step not in job.steps]
        checks.that(
            f"job {job.order.name} went all the way, to success",
            not missing and job.conclusion == "success",
            f"never: {', '.join(missing)}" if missing else job.conclusion,
        )
    monitoring_checks.check(stack, checks)
    _nothing_left(stack, checks, sorted([f"jit-{job.job_id}-1" for job in jobs] + healed))

    say()
    say(_table(jobs))
    if checks.failed:
        _explain(stack)


def one_more(stack: Stack, checks: Checks) -> None:
    """A job after something was changed. GitHub still signs with the webhook secret of before."""
    job = _queue(stack, ORDERS[0])
    _follow(stack, [job])
    checks.that(
        "a job goes all the way after all that, signed with the secret of before", job.conclusion == "success", job
    )


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
    created = datetime.now(UTC)
    answer = stack.github.queue_job(order.name, order.labels, order.example)
    return Job(order, answer["job_id"], created, answer["delivery"])


def _follow(stack: Stack, jobs: list[Job]) -> None:
    """Says what happens, until every job has gone its way or patience ends."""
    by_id = {job.job_id: job for job in jobs}
    told = 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and any(len(job.steps) < len(STEPS) for job in jobs):
        time.sleep(0.1)
        events = stack.github.timeline()
        for event in events[told:]:
            if event["job_id"] in by_id:
                _tell(by_id[event["job_id"]], event, since=jobs[0].created)
        told = len(events)
    for seen in stack.github.state()["jobs"]:
        if seen["id"] in by_id:
            by_id[seen["id"]].conclusion = seen["conclusion"] or "no conclusion"


def _tell(job: Job, event: dict[str, Any], since: datetime) -> None:
    """One line for each step that an event means, the first time it does."""
    if event["event"] == "delivered" and event["detail"] == ON_THE_QUEUE:
        steps = {"delivered": "workflow_job queued, signed", "queued": "answered 202"}
    elif event["event"] in SEEN_AS:
        steps = {SEEN_AS[event["event"]]: event["detail"]}
    else:
        return
    at = datetime.fromisoformat(event["at"])
    for step, detail in steps.items():
        if step not in job.steps:
            job.steps[step] = (at - job.created).total_seconds()
            clock = f"{(at - since).total_seconds():5.1f} s"
            say(f"  {clock}  {job.order.name.ljust(8)} {paint(step.ljust(18), 'cyan')} {paint(detail, 'dim')}")


def _nothing_left(stack: Stack, checks: Checks, expected: list[str]) -> None:
    """No registration, no task, no message; and no task but the expected ones was ever started."""
    left = stack.github.state()["runners"]
    checks.that("no registration is left", left == [], left)
    ecs = stack.aws.client("ecs")
    running = ecs.list_tasks(cluster=stack.deployed.cluster, desiredStatus="RUNNING")["taskArns"]
    checks.that("no task is left running", running == [], running)
    stopped = ecs.list_tasks(cluster=stack.deployed.cluster, desiredStatus="STOPPED")["taskArns"]
    tasks = ecs.describe_tasks(cluster=stack.deployed.cluster, tasks=stopped)["tasks"] if stopped else []
    launches = sorted(task["startedBy"] for task in tasks)
    checks.that("each job had one task, and one more where the first never started", launches == expected, launches)
    queues = {"job queue": stack.deployed.job_queue_url, "dead-letter queue": stack.deployed.dead_letter_queue_url}
    counts = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    for name, url in queues.items():
        found = stack.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=counts)["Attributes"]
        checks.that(f"the {name} is empty", all(count == "0" for count in found.values()), found)


def _table(jobs: list[Job]) -> str:
    def cell(job: Job, step: str) -> str:
        return f"{job.steps[step]:.1f} s" if step in job.steps else "missing"

    header = ["job", "labels", *STEPS]
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
