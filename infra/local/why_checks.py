"""Makes jobs wait for real, on a fleet that `jitgate setup` has made, and asserts what `jitgate why` says of them."""

import json
import time
from collections.abc import Callable
from typing import Any

from checks import Checks
from command import Result
from command_checks import REPOSITORY, Scene
from terminal import heading

LABELS = ["fargate"]

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
    _a_job_that_ran(there, checks)
    heading("`jitgate status`, `dead-letters`, `explain`")
    _a_dead_letter(there, checks)
    _status(there, checks)
    _doctor(there, checks)
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


def _with_variable(there: Scene, function: str, name: str, value: str) -> Callable[[], None]:
    """Changes a variable of a function. Returns what takes it back."""
    functions = there.aws.client("lambda")
    [found] = [
        each["FunctionName"] for each in functions.list_functions()["Functions"] if function in each["FunctionName"]
    ]
    before = functions.get_function_configuration(FunctionName=found)["Environment"]["Variables"]
    functions.update_function_configuration(FunctionName=found, Environment={"Variables": {**before, name: value}})

    def undo() -> None:
        functions.update_function_configuration(FunctionName=found, Environment={"Variables": before})

    return undo


def _a_limit(there: Scene, checks: Checks) -> None:
    undo = _with_variable(there, "Worker", "MAX_RUNNERS", "1")
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
    restart = _with_variable(there, "Webhook", "RESTARTED", "1")
    job = _queue(there, LABELS)
    _names(there, checks, "webhook secrets that differ", job, "secrets-differ")
    secrets.put_secret_value(SecretId=secret["ARN"], SecretString=before)
    restart()
    _cancel(there, job)


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


def _a_dead_letter(there: Scene, checks: Checks) -> None:
    none = there.command.run("dead-letters")
    checks.that("there is no dead letter at first", none.code == 0 and none.json["dead_letters"] == [], none)
    [queue] = [url for url in there.aws.client("sqs").list_queues()["QueueUrls"] if "dead" in url.lower()]
    there.aws.client("sqs").send_message(
        QueueUrl=queue,
        MessageBody="{}",
        MessageAttributes={"jitgate.reason": {"DataType": "String", "StringValue": "ECS refuses: no subnet"}},
    )
    one = there.command.run("dead-letters")
    checks.that("one is shown with its reason", "no subnet" in str(one.json) and one.code == 1, one)
    again = there.command.run("dead-letters")
    checks.that("looking takes nothing away", len(again.json["dead_letters"]) == 1, again)
    there.aws.client("sqs").purge_queue(QueueUrl=queue)


def _status(there: Scene, checks: Checks) -> None:
    status = there.command.run("status")
    checks.that("everything can be looked at", status.code == 0, f"{status.json} {status.text}")
    checks.that("launches are counted", status.json["launches"]["count"] > 0, status.json)


def _doctor(there: Scene, checks: Checks) -> None:
    """It names what these stories broke, and nothing else; then somebody turns off what starts the worker."""
    found = there.command.run("doctor")
    bad = {each["check"] for each in found.json.get("checks", []) if each["outcome"] == "bad"}
    # The secrets differed for a while, and the emulator's schedule may not have called the cleaner yet.
    expected = {"deliveries", "the cleaner's passes"}
    checks.that(
        "what is wrong is found, and no more", "deliveries" in bad and bad <= expected, f"{found.json} {found.text}"
    )
    functions = there.aws.client("lambda")
    [source] = functions.list_event_source_mappings()["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
    ill = there.command.run("doctor")
    checks.that("an event source that is off is found", ill.code == 1, f"{ill.json} {ill.text}")
    there.command.run("doctor", "--fix", "--yes")
    [source] = functions.list_event_source_mappings()["EventSourceMappings"]
    checks.that("and mended by --fix", source["State"] in ("Enabled", "Enabling"), source["State"])


def _explain(there: Scene, checks: Checks) -> None:
    done = there.command.run("explain", "fargate")
    checks.that("the deployed classes are explained", done.json.get("class") == "default", done)
