"""What `jitgate doctor` looks at, broken.

Each function breaks one thing, and returns what mends it, unless `--fix` does.
"""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from command_checks import REPOSITORY, Scene
from emulator import REGION
from standin import http

Undo = Callable[[], object]

VERSION = "2.336.0"
"""The version in the tag of the runners' image."""


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


def clean(there: Scene) -> None:
    """Has the cleaner make a pass, in which it has failed deliveries repeated."""
    there.aws.client("lambda").invoke(FunctionName=function_name(there, "Cleaner"), Payload=b"{}")


def secret(there: Scene) -> tuple[str, dict[str, Any]]:
    """The secret's ARN and its value."""
    store = there.aws.client("secretsmanager")
    [found] = store.list_secrets()["SecretList"]
    return found["ARN"], json.loads(store.get_secret_value(SecretId=found["ARN"])["SecretString"])


def change_secret(there: Scene, **changes: str) -> Undo:
    """Changes keys of the secret."""
    store, (arn, before) = there.aws.client("secretsmanager"), secret(there)

    def put(value: dict[str, Any]) -> None:
        # Twice, since the webhook also takes the version before.
        for _ in range(2):
            store.put_secret_value(SecretId=arn, SecretString=json.dumps(value))

    put({**before, **changes})
    return lambda: put(before)


def sign_in(there: Scene) -> str:
    """The App's own token. Source: GitHub's "Generating a JSON Web Token (JWT) for a GitHub App"."""
    _, value = secret(there)

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    now = int(time.time())
    claims = {"iat": now - 60, "exp": now + 300, "iss": value["app_id"]}
    signed = ".".join(part(json.dumps(each).encode()) for each in ({"alg": "RS256", "typ": "JWT"}, claims))
    key: Any = load_pem_private_key(value["private_key"].encode(), password=None)
    return f"{signed}.{part(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def app(there: Scene) -> dict[str, Any]:
    """The App of the fleet."""
    _, value = secret(there)
    [found] = [each for each in there.github.apps() if str(each["id"]) == str(value["app_id"])]
    return dict(found)


def of_version(there: Scene) -> Undo:
    """A function is of another version."""
    functions = there.aws.client("lambda")
    arn = functions.get_function(FunctionName=function_name(there, "Worker"))["Configuration"]["FunctionArn"]
    before = functions.list_tags(Resource=arn)["Tags"]["jitgate:version"]
    functions.tag_resource(Resource=arn, Tags={"jitgate:version": "0.0.1"})
    return lambda: functions.tag_resource(Resource=arn, Tags={"jitgate:version": before})


def url(there: Scene) -> None:
    """The Function URL lacks one of its two permissions."""
    functions, name = there.aws.client("lambda"), function_name(there, "Webhook")
    policy = json.loads(functions.get_policy(FunctionName=name)["Policy"])
    for statement in policy["Statement"]:
        if statement["Action"] == "lambda:InvokeFunction":
            functions.remove_permission(FunctionName=name, StatementId=statement["Sid"])


def throttled(there: Scene) -> Undo:
    """The webhook may not start."""
    functions, name = there.aws.client("lambda"), function_name(there, "Webhook")
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    return lambda: functions.delete_function_concurrency(FunctionName=name)


def event_source(there: Scene) -> None:
    """Nothing takes messages from the queue."""
    functions = there.aws.client("lambda")
    [source] = functions.list_event_source_mappings()["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)


def queue(there: Scene) -> Undo:
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


def schedule(there: Scene) -> None:
    """Nothing calls the cleaner every five minutes."""
    scheduler = there.aws.client("scheduler")
    [found] = scheduler.list_schedules()["Schedules"]
    whole = scheduler.get_schedule(Name=found["Name"], GroupName=found["GroupName"])
    kept = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target", "Description")
    scheduler.update_schedule(**{name: whole[name] for name in kept if name in whole}, State="DISABLED")


def rule(there: Scene) -> None:
    """The cleaner does not hear of tasks that stop."""
    events = there.aws.client("events")
    [found] = events.list_rules()["Rules"]
    events.disable_rule(Name=found["Name"])


def dead_letter(there: Scene) -> Undo:
    """A message was given up."""
    sqs, queue = there.aws.client("sqs"), variables(there, "Worker")["DEAD_LETTER_QUEUE_URL"]
    sqs.send_message(QueueUrl=queue, MessageBody="{}")
    return lambda: sqs.purge_queue(QueueUrl=queue)


def passes(there: Scene) -> Undo:
    """Nobody has called the cleaner for long: its lines are gone."""
    logs = there.aws.client("logs")
    group = next(
        group["logGroupName"]
        for group in logs.describe_log_groups()["logGroups"]
        if group["logGroupName"].endswith("/cleaner")
    )
    for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
        logs.delete_log_stream(logGroupName=group, logStreamName=stream["logStreamName"])
    return lambda: clean(there)


def alarm(there: Scene) -> Undo:
    """An alarm has gone off."""
    metrics = there.aws.client("cloudwatch")
    name = metrics.describe_alarms()["MetricAlarms"][0]["AlarmName"]
    metrics.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a story")
    return lambda: metrics.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="its end")


def ecs_role(there: Scene) -> Undo:
    """ECS has no role in the account."""
    iam = there.aws.client("iam")
    [role] = iam.list_roles(PathPrefix="/aws-service-role/ecs.amazonaws.com/")["Roles"]
    iam.delete_role(RoleName=role["RoleName"])
    return lambda: iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")


def execution_role(there: Scene) -> str:
    """The name of the role with which ECS starts tasks."""
    [name] = [
        role["RoleName"]
        for role in there.aws.client("iam").list_roles()["Roles"]
        if "RunnerExecutionRole" in role["RoleName"]
    ]
    return str(name)


def trust(there: Scene) -> Undo:
    """That role does not trust ECS."""
    iam, name = there.aws.client("iam"), execution_role(there)
    before = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    other = json.loads(json.dumps(before).replace("ecs-tasks", "ec2"))
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(other))
    return lambda: iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(before))


def subnets_and_group(there: Scene) -> Undo:
    """The class names a subnet and a runner group that do not exist."""
    return change_classes(there, "Webhook", subnets=["subnet-00000000"], runner_group="large")


def push_image(there: Scene) -> None:
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


def image(there: Scene) -> Undo:
    """The image was deleted."""
    there.aws.client("ecr").batch_delete_image(repositoryName="runner", imageIds=[{"imageTag": VERSION}])
    return lambda: push_image(there)


def image_in_ecr(there: Scene) -> Undo:
    """The image is in ECR, from where the execution role may not pull."""
    ecs, account = there.aws.client("ecs"), there.aws.client("sts").get_caller_identity()["Account"]
    definition = ecs.register_task_definition(
        family="in-ecr",
        executionRoleArn=there.aws.client("iam").get_role(RoleName=execution_role(there))["Role"]["Arn"],
        containerDefinitions=[
            {"name": "runner", "image": f"{account}.dkr.ecr.{REGION}.amazonaws.com/runner:{VERSION}"}
        ],
    )
    arn = definition["taskDefinition"]["taskDefinitionArn"]
    return change_classes(there, "Webhook", task_definition=arn)


def line(there: Scene, **fields: Any) -> Undo:
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


def failed_starts(there: Scene) -> Undo:
    """Tasks did not start, for want of a way out."""
    reason = "CannotPullContainerError: pull image manifest has been retried 1 time(s): dial tcp: i/o timeout"
    return line(there, stop_code="TaskFailedToStart", stopped_reason=reason)


def slow_starts(there: Scene) -> Undo:
    """Starts wait long for the image."""
    return line(there, stop_code="EssentialContainerExited", exit_code=0, image_pull_seconds=190.5)


def permissions(there: Scene) -> Undo:
    """The App does not ask for what it needs."""
    own = app(there)
    there.github.ask_for(own["slug"], {"organization_self_hosted_runners": "write", "metadata": "read"})
    return lambda: there.github.ask_for(own["slug"], own["permissions"])


def as_app(there: Scene, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Calls GitHub as the App."""
    headers = {
        "authorization": f"Bearer {sign_in(there)}",
        "content-type": "application/json",
        "user-agent": "jitgate's tests",
    }
    answer = http(method, f"{there.github.url}/app/hook/{path}", json.dumps(body or {}).encode(), headers)
    return answer.json() if answer.body else None


def hook(there: Scene) -> None:
    """The App delivers elsewhere."""
    as_app(there, "PATCH", "config", {"url": "https://elsewhere.example/"})


def delivery(there: Scene) -> Undo:
    """A delivery has failed."""
    there.github.queue_job("build", ["fargate"], 0, repository=REPOSITORY, told="in-vain")
    return lambda: redeliver(there)


def redeliver(there: Scene) -> None:
    """Has what failed repeated, as a person does in the App's settings."""
    for delivery in as_app(there, "GET", "deliveries?status=failure&per_page=100"):
        as_app(there, "POST", f"deliveries/{delivery['id']}/attempts")


def suspension(there: Scene) -> Undo:
    """The installation is suspended."""
    [installation] = app(there)["installations"]
    there.github.suspend(installation["id"])
    return lambda: there.github.unsuspend(installation["id"])


def token(there: Scene) -> Undo:
    """GitHub refuses tokens."""
    there.github.fail("access-token", {"refuse": 403}, times=20)
    return there.github.heal


def closed_group(there: Scene) -> Undo:
    """A job of a repository that its class's group does not admit."""
    group = there.github.add_group("large", ["another-repository"])
    restore = change_classes(there, "Webhook", runner_group="large")
    there.github.queue_job("build", ["fargate"], 0, repository=REPOSITORY)

    def undo() -> None:
        restore()
        there.github.remove_group(group)

    return undo


def budget(there: Scene) -> Undo:
    """Few calls are left of the hour."""
    there.github.behave(calls_an_hour=450)
    return lambda: there.github.behave(calls_an_hour=5000)


def end_of_version(there: Scene) -> Undo:
    """GitHub will turn the runner's version away in three days."""
    there.github.behave(ends={VERSION: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3 * 86400))})
    return lambda: there.github.behave(ends={})


def nothing() -> None:
    """Another breakage of the same round breaks and mends this one."""
