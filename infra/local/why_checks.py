"""Makes jobs wait for real, on a fleet that `jitgate setup` has made, and asserts what `jitgate why` says of them."""

import json
import time
from typing import Any

import slow_way
from breakages import change_classes, change_variables, variables
from checks import Checks
from command import Result
from command_checks import REPOSITORY, Scene
from terminal import heading, say

LABELS = ["fargate"]

MOST_CALLS, MOST_GITHUB_CALLS = 30, 30
"""How many calls an answer about a job that waits may need. Of GitHub's, 20 may open deliveries of the same minutes."""

PATIENCE_SECONDS = 40
"""How long a cause may take to show: the emulator's queue and pollers need some seconds."""


def check(there: Scene, checks: Checks) -> None:
    """Produces each cause, and undoes it."""
    heading("`jitgate why`")
    _labels_of_no_class(there, checks)
    _a_slow_runner(there, checks)
    _a_lost_delivery(there, checks)
    _a_worker_that_is_off(there, checks)
    _a_limit(there, checks)
    _secrets_that_differ(there, checks)
    _another_repository(there, checks)
    _a_group_that_is_closed(there, checks)
    _github_that_gives_nobody_a_job(there, checks)
    _a_job_that_ran(there, checks)
    _how_long(there, checks)
    heading("`jitgate status`, `dead-letters`, `explain`")
    _a_dead_letter(there, checks)
    _status(there, checks)
    _explain(there, checks)


def _queue(there: Scene, labels: list[str], **trouble: Any) -> int:
    job: int = there.github.queue_job("build", labels, 0, **{"repository": REPOSITORY, **trouble})["job_id"]
    return job


def _address(job: int, repository: str = REPOSITORY) -> str:
    return f"https://github.com/{repository}/actions/runs/1/job/{job}"


def _why(there: Scene, job: int, repository: str = REPOSITORY) -> tuple[str, Result]:
    """The kind of the cause, and the whole answer."""
    done = there.command.run("why", _address(job, repository))
    jobs = done.json.get("jobs", [])
    return (jobs[0]["cause"]["kind"] if jobs else "", done)


def _until(there: Scene, job: int, kind: str, repository: str = REPOSITORY) -> tuple[bool, str]:
    """Whether `why` comes to name this cause, and what it says last."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found, done = _why(there, job, repository)
        if found == kind or time.monotonic() > deadline:
            return found == kind, f"{found}: {done.json or done.text}"
        time.sleep(1)


def _names(there: Scene, checks: Checks, what: str, job: int, kind: str) -> None:
    is_named, said = _until(there, job, kind)
    checks.that(f"{what}: {kind}", is_named, said)


def _cancel(there: Scene, job: int) -> None:
    there.github.cancel_job(job)


def _labels_of_no_class(there: Scene, checks: Checks) -> None:
    job = _queue(there, ["fargate", "gpu"])
    _names(there, checks, "labels that mean a class and ask for too much", job, "misfit")
    _cancel(there, job)
    job = _queue(there, ["fargate", "blue"])
    _names(there, checks, "labels that fit no class", job, "no-class")
    _, done = _why(there, job)
    checks.that("with the nearest class", "nearest is class" in str(done.json), done.json)
    by_id = there.command.run("why", str(job))
    checks.that("the job's id is enough", by_id.json["jobs"][0]["repository"] == REPOSITORY, by_id.json)
    reported, said = _reported(there, job)
    checks.that("and its commit says so, to whoever waits", reported and "nearest: default" in said, said)
    _cancel(there, job)


def _reported(there: Scene, job: int) -> tuple[bool, str]:
    """Whether the job's commit comes to say something, and what."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        of_job = [each for each in there.github.state()["check_runs"] if each["external_id"] == f"jit-{job}"]
        if of_job or time.monotonic() > deadline:
            return bool(of_job), str(of_job)
        time.sleep(1)


def _a_slow_runner(there: Scene, checks: Checks) -> None:
    job = _queue(there, LABELS, fate="slow")
    _names(there, checks, "a runner that takes long to connect", job, "connecting")
    _, done = _why(there, job)
    text = str(done.json) + done.text
    checks.that("no JIT config is shown", "JIT_CONFIG" not in text and "eyJ" not in text, text)
    _cancel(there, job)


def _a_lost_delivery(there: Scene, checks: Checks) -> None:
    job = _queue(there, LABELS, told="never")
    _names(there, checks, "a job that GitHub never announced", job, "never-delivered")
    _cancel(there, job)


def _a_worker_that_is_off(there: Scene, checks: Checks) -> None:
    functions = there.aws.client("lambda")
    [mapping] = [
        each
        for each in functions.list_event_source_mappings()["EventSourceMappings"]
        if "Worker" in each["FunctionArn"]
    ]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    job = _queue(there, LABELS)
    _names(there, checks, "a worker that takes no messages", job, "worker-off")
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
    _names(there, checks, "the hint is true: once it is enabled, the job runs", job, "ended")


def _a_limit(there: Scene, checks: Checks) -> None:
    undo = change_variables(there, "Worker", MAX_RUNNERS="1")
    first = _queue(there, LABELS, fate="slow")
    _until(there, first, "connecting")
    second = _queue(there, LABELS)
    _names(there, checks, "a runner limit that is reached", second, "runner-limit")
    undo()
    _cancel(there, first)
    _cancel(there, second)


def _secrets_that_differ(there: Scene, checks: Checks) -> None:
    secrets = there.aws.client("secretsmanager")
    [secret] = secrets.list_secrets()["SecretList"]
    before = secrets.get_secret_value(SecretId=secret["ARN"])["SecretString"]
    different = json.dumps({**json.loads(before), "webhook_secret": "x" * 40})
    # Twice, since the webhook also takes the version before.
    secrets.put_secret_value(SecretId=secret["ARN"], SecretString=different)
    secrets.put_secret_value(SecretId=secret["ARN"], SecretString=different + " ")
    restart = change_variables(there, "Webhook", RESTARTED="1")
    job = _queue(there, LABELS)
    _names(there, checks, "webhook secrets that differ", job, "secrets-differ")
    secrets.put_secret_value(SecretId=secret["ARN"], SecretString=before)
    restart()
    _cancel(there, job)


def _a_group_that_is_closed(there: Scene, checks: Checks) -> None:
    group = there.github.add_group("closed", ["another-repository"])
    undos = [change_classes(there, which, runner_group="closed") for which in ("Webhook", "Worker")]
    job = _queue(there, LABELS)
    _names(there, checks, "a runner group that does not admit the repository", job, "group-closed")
    for undo in undos:
        undo()
    _cancel(there, job)
    there.github.remove_group(group)


def _github_that_gives_nobody_a_job(there: Scene, checks: Checks) -> None:
    there.github.behave(dispatches=False)
    job = _queue(there, LABELS)
    _names(there, checks, "a runner that is online, and whose job will come", job, "connecting")
    there.github.behave(dispatches=True)
    _names(there, checks, "once GitHub assigns jobs again, it runs", job, "ended")


def _another_repository(there: Scene, checks: Checks) -> None:
    is_named, said = _until(there, 1, "not-installed", "somebody/else")
    checks.that("an App that is not installed: not-installed", is_named, said)


def _a_job_that_ran(there: Scene, checks: Checks) -> None:
    job = _queue(there, LABELS)
    _names(there, checks, "a job that ran", job, "ended")
    _, done = _why(there, job)
    sources = {entry["source"] for entry in done.json["jobs"][0]["timeline"]}
    checks.that("its timeline has every source", sources >= {"GitHub", "webhook", "worker", "ECS"}, done.json)
    bundle = there.command.home / "bundle.json"
    there.command.run("why", _address(job), "--bundle", str(bundle))
    text = bundle.read_text()
    checks.that("the bundle has no JIT config and no key", "eyJ" not in text and "PRIVATE KEY" not in text, text)


def _how_long(there: Scene, checks: Checks) -> None:
    """Asks about a job that waits, with 50 ms for each call. The time is only told: it depends on the machine."""
    job = _queue(there, LABELS, fate="slow")
    _until(there, job, "connecting")
    for operation in ("get-installation", "access-token", "get-job", "list-deliveries", "get-delivery", "get-app"):
        there.github.fail(operation, {"delay": round(slow_way.DELAY_SECONDS * 1000)}, times=20)
    before = len(there.github.calls())
    with slow_way.to(there.aws.url) as way:
        began = time.monotonic()
        done = there.command.run("why", _address(job), AWS_ENDPOINT_URL=way.url)
        took = time.monotonic() - began
    to_github = len(there.github.calls()) - before
    there.github.heal()
    say(
        f"  `jitgate why` took {took:.1f} s, with {len(way.calls)} calls to AWS and {to_github} to GitHub of "
        f"{slow_way.DELAY_SECONDS * 1000:.0f} ms each; {way.rounds()} of AWS's came after each other"
    )
    checks.that("a job that waits is explained all the same", done.code == 0, f"{done.json} {done.text}")
    checks.that(f"in {MOST_CALLS} calls to AWS at most", len(way.calls) <= MOST_CALLS, len(way.calls))
    # The worker may be on its way as well.
    checks.that(f"and {MOST_GITHUB_CALLS} to GitHub", to_github <= MOST_GITHUB_CALLS, to_github)
    _cancel(there, job)


def _a_dead_letter(there: Scene, checks: Checks) -> None:
    """A job that GitHub refuses is given up, and runs once it is sent back."""
    none = there.command.run("dead-letters")
    checks.that("there is no dead letter at first", none.code == 0 and none.json["dead_letters"] == [], none)
    there.github.fail("generate-jitconfig", {"refuse": 422})
    job = _queue(there, LABELS)
    _names(there, checks, "a job whose registration GitHub refuses", job, "given-up")
    one = there.command.run("dead-letters")
    checks.that("it is shown with its reason", "GitHub refuses" in str(one.json) and one.code == 1, one)
    again = there.command.run("dead-letters")
    checks.that("looking takes nothing away", len(again.json["dead_letters"]) == 1, again)
    sent = there.command.run("dead-letters", "--redrive", "--yes")
    # The emulator does not move messages; `tests/tests/why/launches.rs` has the command do it.
    checks.that("--redrive asks SQS to move it", "StartMessageMoveTask is not valid" in sent.text, sent.text)
    checks.that("what is not moved stays", len(there.command.run("dead-letters").json["dead_letters"]) == 1, sent)
    _move(there, *(variables(there, "Worker")[f"{name}_QUEUE_URL"] for name in ("DEAD_LETTER", "JOB")))
    _names(there, checks, "and it runs", job, "ended")
    none = there.command.run("dead-letters")
    checks.that("the queue is empty again", none.code == 0 and none.json["dead_letters"] == [], none)


def _move(there: Scene, source: str, destination: str) -> None:
    """Does what SQS does on `StartMessageMoveTask`."""
    sqs = there.aws.client("sqs")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for message in sqs.receive_message(QueueUrl=source).get("Messages", []):
            sqs.send_message(QueueUrl=destination, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
            return


def _status(there: Scene, checks: Checks) -> None:
    first, second = _queue(there, LABELS, fate="slow"), _queue(there, LABELS)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        status = there.command.run("status")
        runners = status.json.get("runners") or {}
        seen = runners.get("default", {})
        are_told_apart = seen.get("connecting", 0) > 0 and seen.get("busy", 0) > 0
        if are_told_apart or time.monotonic() > deadline:
            break
    checks.that("everything can be looked at", status.code == 0, f"{status.json} {status.text}")
    checks.that("a runner that connects and one at work are told apart", are_told_apart, runners)
    checks.that("launches are counted", status.json["launches"]["count"] > 0, status.json)
    left = (status.json.get("github") or {}).get("octo-org", {})
    checks.that("so are GitHub's calls", 0 < left.get("calls", 0) < left.get("of", 0), status.json)
    _cancel(there, first)
    _cancel(there, second)


def _explain(there: Scene, checks: Checks) -> None:
    done = there.command.run("explain", "fargate")
    checks.that("the deployed classes are explained", done.json.get("class") == "default", done)
