"""Breaks each thing that `jitgate doctor` looks at, and asserts that it is found, and found right once it is mended.

Each breakage costs little, and a run of the command some seconds, so those that do not hide each other are broken
together.
"""

import base64
import json
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from checks import Checks
from command import Result
from command_checks import REPOSITORY, Scene
from emulator import REGION
from standin import http
from terminal import heading

Undo = Callable[[], object]

VERSION = "2.336.0"
"""The version in the tag of the runners' image."""

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
    _redeliver(there)
    left = _until(there, lambda bad: not bad)
    checks.that("in the end all that can be looked at is right", not left, left)


def prepare(there: Scene, checks: Checks) -> None:
    """Gives the fleet an image that can be looked at, and mends what earlier stories left behind."""
    _push_image(there)
    image = f"{urllib.parse.urlsplit(there.aws.url).netloc}/runner:{VERSION}"
    done = there.command.run("upgrade", "--yes", *there.code, "--image", image)
    checks.that("`upgrade --image` changes the image", done.code == 0, f"{done.code}\n{done.text}")
    _clean(there)
    _redeliver(there)
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


def _round(there: Scene, checks: Checks, breakages: list[Breakage]) -> None:
    undos = [breakage.breaks(there) for breakage in breakages]
    found = _until(there, lambda bad: all(each.check in bad for each in breakages))
    for breakage in breakages:
        said = found.get(breakage.check, "")
        checks.that(f"{breakage.check}: {breakage.says!r} is found", breakage.says in said, said or found)
    if None in undos:
        there.command.run("doctor", "--fix", "--yes")
    for undo in filter(None, reversed(undos)):
        undo()
    left = _until(there, lambda bad: not any(each.check in bad for each in breakages))
    broken = [each.check for each in breakages if each.check in left]
    checks.that(f"{', '.join(each.check for each in breakages)}: mended", not broken, left)


def _until(there: Scene, holds: Callable[[dict[str, str]], bool]) -> dict[str, str]:
    """What is wrong, as soon as this holds, or at last."""
    deadline = time.monotonic() + SLOW_RUN_SECONDS
    while True:
        bad = _bad(examine(there))
        if holds(bad) or time.monotonic() > deadline:
            return bad
        time.sleep(1)


def function_name(there: Scene, which: str) -> str:
    """A function's name in the account."""
    functions = there.aws.client("lambda").list_functions()["Functions"]
    [found] = [each["FunctionName"] for each in functions if which in each["FunctionName"]]
    return str(found)


def variables(there: Scene, which: str) -> dict[str, str]:
    """A function's variables."""
    function = function_name(there, which)
    found = there.aws.client("lambda").get_function_configuration(FunctionName=function)
    return dict(found["Environment"]["Variables"])


def change_variables(there: Scene, which: str, **changes: str) -> Undo:
    """Changes variables of a function. Returns what takes it back."""
    functions, name, before = there.aws.client("lambda"), function_name(there, which), variables(there, which)
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": {**before, **changes}})
    return lambda: functions.update_function_configuration(FunctionName=name, Environment={"Variables": before})


def change_classes(there: Scene, which: str, **changes: Any) -> Undo:
    """Changes the classes that a function has."""
    classes = json.loads(variables(there, which)["RUNNER_CLASSES"])
    if "runner_group" in changes:
        for each in classes:
            each.pop("runner_group_id", None)
    return change_variables(there, which, RUNNER_CLASSES=json.dumps([{**each, **changes} for each in classes]))


def _clean(there: Scene) -> None:
    """Has the cleaner make a pass, in which it has failed deliveries repeated."""
    there.aws.client("lambda").invoke(FunctionName=function_name(there, "Cleaner"), Payload=b"{}")


def _secret(there: Scene) -> tuple[str, dict[str, Any]]:
    store = there.aws.client("secretsmanager")
    [secret] = store.list_secrets()["SecretList"]
    return secret["ARN"], json.loads(store.get_secret_value(SecretId=secret["ARN"])["SecretString"])


def _change_secret(there: Scene, **changes: str) -> Undo:
    store, (arn, before) = there.aws.client("secretsmanager"), _secret(there)

    def put(value: dict[str, Any]) -> None:
        # Twice, since the webhook also takes the version before.
        for _ in range(2):
            store.put_secret_value(SecretId=arn, SecretString=json.dumps(value))

    put({**before, **changes})
    return lambda: put(before)


def _sign_in(there: Scene) -> str:
    """The App's own token. Source: GitHub's "Generating a JSON Web Token (JWT) for a GitHub App"."""
    _, secret = _secret(there)

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    now = int(time.time())
    claims = {"iat": now - 60, "exp": now + 300, "iss": secret["app_id"]}
    signed = ".".join(part(json.dumps(each).encode()) for each in ({"alg": "RS256", "typ": "JWT"}, claims))
    key: Any = load_pem_private_key(secret["private_key"].encode(), password=None)
    return f"{signed}.{part(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def _app(there: Scene) -> dict[str, Any]:
    _, secret = _secret(there)
    [app] = [app for app in there.github.apps() if str(app["id"]) == str(secret["app_id"])]
    return app


def _of_version(there: Scene) -> Undo:
    functions = there.aws.client("lambda")
    arn = functions.get_function(FunctionName=function_name(there, "Worker"))["Configuration"]["FunctionArn"]
    before = functions.list_tags(Resource=arn)["Tags"]["jitgate:version"]
    functions.tag_resource(Resource=arn, Tags={"jitgate:version": "0.0.1"})
    return lambda: functions.tag_resource(Resource=arn, Tags={"jitgate:version": before})


def _url(there: Scene) -> None:
    functions, name = there.aws.client("lambda"), function_name(there, "Webhook")
    policy = json.loads(functions.get_policy(FunctionName=name)["Policy"])
    for statement in policy["Statement"]:
        if statement["Action"] == "lambda:InvokeFunction":
            functions.remove_permission(FunctionName=name, StatementId=statement["Sid"])


def _throttled(there: Scene) -> Undo:
    functions, name = there.aws.client("lambda"), function_name(there, "Webhook")
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    return lambda: functions.delete_function_concurrency(FunctionName=name)


def _event_source(there: Scene) -> None:
    functions = there.aws.client("lambda")
    [source] = functions.list_event_source_mappings()["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)


def _queue(there: Scene) -> Undo:
    """A job waits, for longer than CloudWatch has heard of."""
    there.github.queue_job("build", ["fargate"], 0, repository=REPOSITORY)
    queue = variables(there, "Worker")["JOB_QUEUE_URL"].rsplit("/")[-1]
    metrics = there.aws.client("cloudwatch")

    def age(seconds: int) -> None:
        # A minute has one value: the largest.
        at = time.time() + (60 if seconds < 60 else 0)
        point = {"MetricName": "ApproximateAgeOfOldestMessage", "Unit": "Seconds", "Value": seconds, "Timestamp": at}
        dimensions = [{"Name": "QueueName", "Value": queue}]
        metrics.put_metric_data(Namespace="AWS/SQS", MetricData=[{**point, "Dimensions": dimensions}])

    # Less than what the alarm waits for.
    age(1500)
    return lambda: age(1)


def _schedule(there: Scene) -> None:
    scheduler = there.aws.client("scheduler")
    [schedule] = scheduler.list_schedules()["Schedules"]
    whole = scheduler.get_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])
    kept = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target", "Description")
    scheduler.update_schedule(**{name: whole[name] for name in kept if name in whole}, State="DISABLED")


def _rule(there: Scene) -> None:
    events = there.aws.client("events")
    [rule] = events.list_rules()["Rules"]
    events.disable_rule(Name=rule["Name"])


def _dead_letter(there: Scene) -> Undo:
    sqs, queue = there.aws.client("sqs"), variables(there, "Worker")["DEAD_LETTER_QUEUE_URL"]
    sqs.send_message(QueueUrl=queue, MessageBody="{}")
    return lambda: sqs.purge_queue(QueueUrl=queue)


def _passes(there: Scene) -> Undo:
    """Nobody has called the cleaner for long: its lines are gone."""
    logs = there.aws.client("logs")
    group = next(
        group["logGroupName"]
        for group in logs.describe_log_groups()["logGroups"]
        if group["logGroupName"].endswith("/cleaner")
    )
    for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
        logs.delete_log_stream(logGroupName=group, logStreamName=stream["logStreamName"])
    return lambda: _clean(there)


def _alarm(there: Scene) -> Undo:
    metrics = there.aws.client("cloudwatch")
    name = metrics.describe_alarms()["MetricAlarms"][0]["AlarmName"]
    metrics.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a story")
    return lambda: metrics.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="its end")


def _ecs_role(there: Scene) -> Undo:
    iam = there.aws.client("iam")
    [role] = iam.list_roles(PathPrefix="/aws-service-role/ecs.amazonaws.com/")["Roles"]
    iam.delete_role(RoleName=role["RoleName"])
    return lambda: iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")


def _execution_role(there: Scene) -> str:
    [name] = [
        role["RoleName"]
        for role in there.aws.client("iam").list_roles()["Roles"]
        if "RunnerExecutionRole" in role["RoleName"]
    ]
    return str(name)


def _trust(there: Scene) -> Undo:
    iam, name = there.aws.client("iam"), _execution_role(there)
    before = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    other = json.loads(json.dumps(before).replace("ecs-tasks", "ec2"))
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(other))
    return lambda: iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(before))


def _subnets_and_group(there: Scene) -> Undo:
    return change_classes(there, "Webhook", subnets=["subnet-00000000"], runner_group="large")


def _push_image(there: Scene) -> None:
    """An index of both architectures, as the official image has."""
    ecr = there.aws.client("ecr")
    if not ecr.describe_repositories()["repositories"]:
        ecr.create_repository(repositoryName="runner")
    platforms = [{"platform": {"os": "linux", "architecture": name}} for name in ("amd64", "arm64")]
    kind = "application/vnd.oci.image.index.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "manifests": platforms}
    ecr.put_image(
        repositoryName="runner", imageManifest=json.dumps(manifest), imageManifestMediaType=kind, imageTag=VERSION
    )


def _image(there: Scene) -> Undo:
    there.aws.client("ecr").batch_delete_image(repositoryName="runner", imageIds=[{"imageTag": VERSION}])
    return lambda: _push_image(there)


def _image_in_ecr(there: Scene) -> Undo:
    """The image is in ECR, from where the execution role may not pull."""
    ecs, account = there.aws.client("ecs"), there.aws.client("sts").get_caller_identity()["Account"]
    definition = ecs.register_task_definition(
        family="in-ecr",
        executionRoleArn=there.aws.client("iam").get_role(RoleName=_execution_role(there))["Role"]["Arn"],
        containerDefinitions=[
            {"name": "runner", "image": f"{account}.dkr.ecr.{REGION}.amazonaws.com/runner:{VERSION}"}
        ],
    )
    arn = definition["taskDefinition"]["taskDefinitionArn"]
    return change_classes(there, "Webhook", task_definition=arn)


def _line(there: Scene, **fields: Any) -> Undo:
    """The cleaner has logged a task's end, with these fields."""
    logs = there.aws.client("logs")
    group = next(
        group["logGroupName"]
        for group in logs.describe_log_groups()["logGroups"]
        if group["logGroupName"].endswith("/cleaner")
    )
    stream = f"a-story-{len(fields)}"
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    line = {"level": "INFO", "message": "task ended", "job.id": 1, "capacity": "FARGATE", "cpu": "1024", **fields}
    events = [{"timestamp": int(time.time() * 1000), "message": json.dumps(line)}] * 50
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    return lambda: logs.delete_log_stream(logGroupName=group, logStreamName=stream)


def _failed_starts(there: Scene) -> Undo:
    reason = "CannotPullContainerError: pull image manifest has been retried 1 time(s): dial tcp: i/o timeout"
    return _line(there, stop_code="TaskFailedToStart", stopped_reason=reason)


def _slow_starts(there: Scene) -> Undo:
    return _line(there, stop_code="EssentialContainerExited", exit_code=0, image_pull_seconds=190.5)


def _permissions(there: Scene) -> Undo:
    app = _app(there)
    there.github.ask_for(app["slug"], {"organization_self_hosted_runners": "write", "metadata": "read"})
    return lambda: there.github.ask_for(app["slug"], app["permissions"])


def _as_app(there: Scene, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Calls GitHub as the App."""
    headers = {
        "authorization": f"Bearer {_sign_in(there)}",
        "content-type": "application/json",
        "user-agent": "jitgate's tests",
    }
    answer = http(method, f"{there.github.url}/app/hook/{path}", json.dumps(body or {}).encode(), headers)
    return answer.json() if answer.body else None


def _hook(there: Scene) -> None:
    _as_app(there, "PATCH", "config", {"url": "https://elsewhere.example/"})


def _delivery(there: Scene) -> Undo:
    there.github.queue_job("build", ["fargate"], 0, repository=REPOSITORY, told="in-vain")
    return lambda: _redeliver(there)


def _redeliver(there: Scene) -> None:
    """Has what failed repeated, as a person does in the App's settings."""
    for delivery in _as_app(there, "GET", "deliveries?status=failure&per_page=100"):
        _as_app(there, "POST", f"deliveries/{delivery['id']}/attempts")


def _suspension(there: Scene) -> Undo:
    [installation] = _app(there)["installations"]
    there.github.suspend(installation["id"])
    return lambda: there.github.unsuspend(installation["id"])


def _token(there: Scene) -> Undo:
    there.github.fail("access-token", {"refuse": 403}, times=20)
    return there.github.heal


def _closed_group(there: Scene) -> Undo:
    """A job of a repository that its class's group does not admit."""
    group = there.github.add_group("large", ["another-repository"])
    restore = change_classes(there, "Webhook", runner_group="large")
    there.github.queue_job("build", ["fargate"], 0, repository=REPOSITORY)

    def undo() -> None:
        restore()
        there.github.remove_group(group)

    return undo


def _budget(there: Scene) -> Undo:
    there.github.behave(calls_an_hour=450)
    return lambda: there.github.behave(calls_an_hour=5000)


def _end_of_version(there: Scene) -> Undo:
    there.github.behave(ends={VERSION: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3 * 86400))})
    return lambda: there.github.behave(ends={})


ROUNDS = [
    [
        Breakage("the functions' version", "is 0.0.1", _of_version),
        Breakage("the webhook's Function URL is open", "lambda:InvokeFunction", _url),
        Breakage("the worker's event source", "disabled", _event_source),
        Breakage("the queue moves", "the oldest for", _queue),
        Breakage("the cleaner's schedule and rule", "schedule is off", _schedule),
        Breakage("dead letters", "see `jitgate dead-letters`", _dead_letter),
        Breakage("alarms", "docs/OPERATIONS.md", _alarm),
        Breakage("ECS's role", "create-service-linked-role", _ecs_role),
        Breakage("task definitions and their roles", "does not trust", _trust),
        Breakage("subnets: a way out, and free addresses", "subnet-00000000 does not exist", _subnets_and_group),
        Breakage("runner groups admit who asks", "has no runner group", lambda there: _nothing),
        Breakage("the image can be pulled", "there is no", _image),
        Breakage("starts of the last hour", "no way out to the registry", _failed_starts),
        Breakage("the App's permissions and event", "actions: read", _permissions),
        Breakage("the App's webhook", "elsewhere.example", _hook),
        Breakage("deliveries", "failed", _delivery),
        Breakage("GitHub's calls left of the hour", "renewed in", _budget),
        Breakage("the runner's version", f"{VERSION} ends in", _end_of_version),
    ],
    [
        Breakage("the cleaner's passes", "none within 15 minutes", _passes),
        Breakage("the cleaner's schedule and rule", "rule is off", _rule),
        Breakage("where a start's time goes", "SOCI", _slow_starts),
        Breakage("an unsigned delivery is refused", "429", _throttled),
        Breakage("installations", "is suspended", _suspension),
    ],
    [
        Breakage("a signed ping is taken", "jitgate app", lambda there: _change_secret(there, webhook_secret="")),
        Breakage("runner groups admit who asks", "does not admit", _closed_group),
        Breakage("the image can be pulled", "may not pull", _image_in_ecr),
    ],
    [Breakage("runners may be registered", "403", _token)],
    [Breakage("the secret holds an App's key", "jitgate app", lambda there: _change_secret(there, private_key=""))],
    [Breakage("the App signs in", "app_id", lambda there: _change_secret(there, app_id="1"))],
]
"""What is broken together."""


def _nothing() -> None:
    """Another breakage of the same round breaks and mends this one."""
