"""The demo: signed deliveries become Fargate tasks and finished jobs.

It shows each step as the GitHub stand-in and the AWS APIs report it, and then checks the outcome.
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
"""The steps of a job, in order."""

SEEN_AS = {
    "registered": "registered",
    "task_started": "task started",
    "in_progress": "in progress",
    "completed": "completed",
    "deregistered": "registration gone",
}
"""The step that each of the stand-in's events stands for."""

ON_THE_QUEUE = "queued → 202"
"""The stand-in's record of a `queued` delivery that the webhook answered with 202, which means: the message is sent."""

PATIENCE_SECONDS = 60
"""How long all jobs together may take. They take about 10 s on an idle machine."""


@dataclass(frozen=True)
class Order:
    """A job to create: its name, its labels, and the index of GitHub's example on which its payloads are based."""

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
"""One for each `workflow_job` example that GitHub publishes.

No job's labels are a subset of another's. A runner takes any job whose labels it has. So the runner of a job with more
labels could take a job with fewer, and the runner of the latter could not take the former.
"""

STRANGER = Order("train", ["self-hosted", "gpu"], example=5)
"""A job whose labels fit no class."""


@dataclass
class Job:
    """A created job, and how many seconds after its creation it reached each step."""

    order: Order
    job_id: int
    created: datetime
    answer: dict[str, Any]
    steps: dict[str, float] = field(default_factory=dict)
    conclusion: str = ""


def run(stack: Stack, checks: Checks) -> None:
    """Runs the whole demo and checks it."""
    heading("Deliveries that must not start a runner")
    _forged(stack, checks)
    stranger = _queue(stack, STRANGER)
    checks.that(
        f"labels {STRANGER.labels} fit no class: answered with 200, ignored",
        stranger.answer["status"] == 200 and _says(stranger.answer["body"], "ignored"),
        stranger.answer,
    )

    heading("Jobs and their steps")
    say("  (runners with the same labels are interchangeable, so a job may run on a runner launched for another)")
    jobs = [_queue(stack, order) for order in ORDERS]
    _follow(stack, jobs)

    heading("What goes wrong, and how the cleaner repairs it")
    healed = healing.run(stack, checks)

    heading("The outcome")
    for job in jobs:
        missing = [step for step in STEPS if step not in job.steps]
        checks.that(
            f"job {job.order.name} took every step and succeeded",
            not missing and job.conclusion == "success",
            f"missing: {', '.join(missing)}" if missing else job.conclusion,
        )
    monitoring_checks.check(stack, checks)
    _nothing_left(stack, checks, sorted([f"jit-{job.job_id}-1" for job in jobs] + healed))

    say()
    say(_table(jobs))
    if checks.failed:
        _explain(stack)


def one_more(stack: Stack, checks: Checks) -> None:
    """Runs a job after the webhook secret was rotated. GitHub still signs with the old one."""
    job = _queue(stack, ORDERS[0])
    _follow(stack, [job])
    checks.that(
        "a job still succeeds, though signed with the previous webhook secret", job.conclusion == "success", job
    )


def _forged(stack: Stack, checks: Checks) -> None:
    """Posts a payload whose signature was made without the secret."""
    events = json.loads(EXAMPLES.read_text())
    [payload] = [event["examples"][6] for event in events if event["name"] == "workflow_job"]
    headers = {
        "content-type": "application/json",
        "x-github-event": "workflow_job",
        "x-github-delivery": "00000000-0000-0000-0000-000000000000",
        "x-hub-signature-256": "sha256=" + "0" * 64,
    }
    answer = http("POST", stack.deployed.webhook_url, json.dumps(payload).encode(), headers)
    checks.that("a forged signature is answered with 401", answer.status == 401, answer)


def _queue(stack: Stack, order: Order) -> Job:
    created = datetime.now(UTC)
    answer = stack.github.queue_job(order.name, order.labels, order.example)
    return Job(order, answer["job_id"], created, answer["delivery"])


def _follow(stack: Stack, jobs: list[Job]) -> None:
    """Shows what happens until every job has taken every step, for `PATIENCE_SECONDS` at most."""
    by_id = {job.job_id: job for job in jobs}
    shown = 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and any(len(job.steps) < len(STEPS) for job in jobs):
        time.sleep(0.1)
        events = stack.github.timeline()
        for event in events[shown:]:
            if event["job_id"] in by_id:
                _tell(by_id[event["job_id"]], event, since=jobs[0].created)
        shown = len(events)
    for seen in stack.github.state()["jobs"]:
        if seen["id"] in by_id:
            by_id[seen["id"]].conclusion = seen["conclusion"] or "no conclusion"


def _tell(job: Job, event: dict[str, Any], since: datetime) -> None:
    """Shows each step that an event stands for, once."""
    if event["event"] == "delivered" and event["detail"] == ON_THE_QUEUE:
        steps = {"delivered": "workflow_job queued, signed", "queued": "answered with 202"}
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
    """Checks that no registration, task or message is left, and that only the expected tasks were started."""
    left = stack.github.state()["runners"]
    checks.that("no registration is left", left == [], left)
    ecs = stack.aws.client("ecs")
    running = ecs.list_tasks(cluster=stack.deployed.cluster, desiredStatus="RUNNING")["taskArns"]
    checks.that("no task is still running", running == [], running)
    stopped = ecs.list_tasks(cluster=stack.deployed.cluster, desiredStatus="STOPPED")["taskArns"]
    tasks = ecs.describe_tasks(cluster=stack.deployed.cluster, tasks=stopped)["tasks"] if stopped else []
    launches = sorted(task["startedBy"] for task in tasks)
    checks.that("each job had one task, and a second only if the first never started", launches == expected, launches)
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
    """Shows the functions' last log lines, after a failure."""
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
