"""An inventory of a deployment, read from the AWS APIs, so that two deployments can be compared.

Names, ids and ARNs differ between deployments, so each is replaced by its purpose, such as `{role worker}`. The
inventory covers everything in the account, so that superfluous resources show, too.
"""

import json
import re
from typing import Any

from botocore.exceptions import ClientError

from deployment import STACK
from emulator import Emulator

Inventory = dict[str, Any]

LOGS_OF = f"/jitgate/{STACK}/"


def take(aws: Emulator) -> Inventory:
    """Takes the inventory, by kind and purpose."""
    words: dict[str, str] = {}
    parts = [_queues, _secret, _cluster, _roles, _profiles, _network, _functions, _tasks, _events, _logs, _monitoring]
    found: Inventory = {}
    for part in parts:
        found.update(part(aws, words))
    text = json.dumps(found)
    for name in sorted(words, key=len, reverse=True):
        text = text.replace(name, words[name])
    # The GitHub stand-in listens on a different port each time.
    text = re.sub(r"http://127\.0\.0\.1:\d+", "{loopback}", text)
    return _sorted_policies(json.loads(text))


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Lists each difference, with both values."""
    if isinstance(left, dict) and isinstance(right, dict):
        return [
            line
            for key in sorted({*left, *right})
            for line in differences(
                left.get(key, "nothing"), right.get(key, "nothing"), f"{path}: {key}" if path else key
            )
        ]
    if left == right:
        return []
    return [f"{path}: {json.dumps(left, sort_keys=True)} / {json.dumps(right, sort_keys=True)}"]


def _queues(aws: Emulator, words: dict[str, str]) -> Inventory:
    sqs = aws.client("sqs")
    found = {}
    for url in sqs.list_queues().get("QueueUrls", []):
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        purpose = "jobs" if "RedrivePolicy" in attributes else "dead-letter"
        words |= {url: f"{{url of queue {purpose}}}", attributes["QueueArn"]: f"{{queue {purpose}}}"}
        words[_whole(url.rsplit("/", 1)[-1])] = _whole(f"{{name of queue {purpose}}}")
        kept = ("MessageRetentionPeriod", "VisibilityTimeout", "SqsManagedSseEnabled", "DelaySeconds")
        found[f"queue {purpose}"] = {key: attributes.get(key) for key in kept}
        found[f"queue {purpose}"]["RedrivePolicy"] = _parsed(attributes.get("RedrivePolicy"))
        if "maxReceiveCount" in (policy := found[f"queue {purpose}"]["RedrivePolicy"] or {}):
            policy["maxReceiveCount"] = int(policy["maxReceiveCount"])
    return found


def _secret(aws: Emulator, words: dict[str, str]) -> Inventory:
    secrets = aws.client("secretsmanager")
    found = {}
    for secret in secrets.list_secrets()["SecretList"]:
        words |= {secret["ARN"]: "{secret}", secret["Name"]: "{name of secret}"}
        value = json.loads(secrets.get_secret_value(SecretId=secret["ARN"])["SecretString"])
        # Lengths instead of values, which are random and secret.
        shape = {key: len(part) for key, part in value.items()}
        found["secret"] = {"Description": secret.get("Description"), "lengths": shape}
    return found


def _cluster(aws: Emulator, words: dict[str, str]) -> Inventory:
    ecs = aws.client("ecs")
    found = {}
    for cluster in ecs.describe_clusters(clusters=ecs.list_clusters()["clusterArns"])["clusters"]:
        arn, name = cluster["clusterArn"], cluster["clusterName"]
        words |= {arn: "{cluster}", f":task/{name}/": ":task/{name of cluster}/"}
        found["cluster"] = {
            "capacityProviders": sorted(cluster["capacityProviders"]),
            "strategy": cluster.get("defaultCapacityProviderStrategy"),
        }
    return found


def _roles(aws: Emulator, words: dict[str, str]) -> Inventory:
    iam = aws.client("iam")
    found = {}
    for role in iam.list_roles()["Roles"]:
        if role["Path"].startswith("/aws-service-role/"):
            continue  # the account's, whoever deploys
        name = role["RoleName"]
        trust = role["AssumeRolePolicyDocument"]
        # SAM's transform creates the schedule's role without a description.
        scheduler = "scheduler.amazonaws.com" in json.dumps(trust)
        purpose = "schedule" if scheduler else role.get("Description", name).split(": ", 1)[-1]
        words[role["Arn"]] = f"{{role {purpose}}}"
        words[name] = f"{{name of role {purpose}}}"
        policies = iam.list_role_policies(RoleName=name)["PolicyNames"]
        statements = [
            statement
            for policy in sorted(policies)
            for statement in iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]["Statement"]
        ]
        found[f"role {purpose}"] = {
            "trusts": trust,
            "allows": [statement for statement in statements if statement["Effect"] == "Allow"],
            "denies": [statement for statement in statements if statement["Effect"] == "Deny"],
            "attached": iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"],
        }
    return found


def _profiles(aws: Emulator, words: dict[str, str]) -> Inventory:
    profiles = aws.client("iam").list_instance_profiles()["InstanceProfiles"]
    for profile in profiles:
        words |= {profile["Arn"]: "{instance profile}"}
    return (
        {"instance profile": [role["RoleName"] for profile in profiles for role in profile["Roles"]]}
        if profiles
        else {}
    )


def _network(aws: Emulator, words: dict[str, str]) -> Inventory:
    found = {}
    for group in aws.client("ec2").describe_security_groups()["SecurityGroups"]:
        if group["GroupName"] == "default":
            continue
        words[group["GroupId"]] = "{security group}"
        kept = ("Description", "IpPermissions", "IpPermissionsEgress")
        found["security group"] = {key: _filled(group[key]) for key in kept}
    return found


def _functions(aws: Emulator, words: dict[str, str]) -> Inventory:
    functions = aws.client("lambda")
    found = {}
    for each in functions.list_functions()["Functions"]:
        name, arn = each["FunctionName"], each["FunctionArn"]
        purpose = each["LoggingConfig"]["LogGroup"].removeprefix(LOGS_OF)
        words |= {arn: f"{{function {purpose}}}", _whole(name): _whole(f"{{name of function {purpose}}}")}
        url = _or_nothing(functions.get_function_url_config, FunctionName=name)
        if url:
            words[url["FunctionUrl"]] = f"{{url of {purpose}}}"
        kept = ("Description", "Runtime", "Handler", "Architectures", "MemorySize", "Timeout", "Role", "PackageType")
        variables = each["Environment"]["Variables"]
        found[f"function {purpose}"] = {
            **{key: each.get(key) for key in kept},
            "LoggingConfig": {
                key: each["LoggingConfig"].get(key)
                for key in ("LogFormat", "ApplicationLogLevel", "SystemLogLevel", "LogGroup")
            },
            "variables": {
                # The cluster may have the same name as other resources.
                key: "{name of cluster}" if f":task/{value}/" in words else _parsed(value)
                for key, value in variables.items()
            },
            "reserved": functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions"),
            "recursion": functions.get_function_recursion_config(FunctionName=name)["RecursiveLoop"],
            "retries": _retries(functions, name),
            "url": url.get("AuthType"),
            "who may call": _statements(functions, name),
        }
        for mapping in functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]:
            words[mapping["UUID"]] = "{event source}"
            kept = ("EventSourceArn", "BatchSize", "FunctionResponseTypes", "State", "MaximumBatchingWindowInSeconds")
            found[f"event source of {purpose}"] = {key: mapping.get(key) for key in kept}
            # The emulator keeps the template's numbers as strings.
            scaling = {key: int(value) for key, value in mapping.get("ScalingConfig", {}).items()}
            found[f"event source of {purpose}"]["ScalingConfig"] = scaling
    return found


def _tasks(aws: Emulator, words: dict[str, str]) -> Inventory:
    ecs = aws.client("ecs")
    found = {}
    for arn in ecs.list_task_definitions()["taskDefinitionArns"]:
        definition = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        family = definition["family"]
        words[arn] = f"{{task definition {family}}}"
        kept = (
            "family",
            "networkMode",
            "cpu",
            "memory",
            "runtimePlatform",
            "ephemeralStorage",
            "requiresCompatibilities",
            "executionRoleArn",
            "taskRoleArn",
        )
        # The emulator keeps the template's capital letters.
        volumes = [{key.lower(): value for key, value in each.items()} for each in definition.get("volumes", [])]
        found[f"task definition {family}"] = {
            **{key: definition.get(key) for key in kept},
            "volumes": _filled(volumes),
            # Terraform sets a container's CPU units to 0; the template does not set them.
            "containers": [
                {key: value for key, value in _filled(container).items() if (key, value) != ("cpu", 0)}
                for container in definition["containerDefinitions"]
            ],
        }
    return found


def _events(aws: Emulator, words: dict[str, str]) -> Inventory:
    scheduler, events = aws.client("scheduler"), aws.client("events")
    found = {}
    for group in scheduler.list_schedule_groups()["ScheduleGroups"]:
        if group["Name"] != "default":
            words |= {group["Arn"]: "{schedule group}", _whole(group["Name"]): _whole("{name of schedule group}")}
            found["schedule group"] = group["State"]
    for summary in scheduler.list_schedules()["Schedules"]:
        words |= {summary["Arn"]: "{schedule}", summary["Name"]: "{name of schedule}"}
        schedule = scheduler.get_schedule(Name=summary["Name"], GroupName=summary["GroupName"])
        kept = ("Description", "ScheduleExpression", "State", "FlexibleTimeWindow", "GroupName")
        found["schedule"] = {key: schedule.get(key) for key in kept}
        target = schedule["Target"]
        found["schedule"]["target"] = {key: target.get(key) for key in ("Arn", "RoleArn", "Input")}
        found["schedule"]["retries"] = (target.get("RetryPolicy") or {}).get("MaximumRetryAttempts")
    for rule in events.list_rules()["Rules"]:
        words |= {rule["Arn"]: "{rule}", rule["Name"]: "{name of rule}"}
        targets = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        found["rule"] = {
            "pattern": _parsed(rule["EventPattern"]),
            "state": rule["State"],
            "targets": [{key: value for key, value in target.items() if key != "Id"} for target in targets],
        }
    return found


def _logs(aws: Emulator, words: dict[str, str]) -> Inventory:
    groups = aws.client("logs").describe_log_groups()["logGroups"]
    return {
        f"log group {group['logGroupName']}": [group.get("retentionInDays"), group.get("logGroupClass", "STANDARD")]
        for group in groups
    }


def _monitoring(aws: Emulator, words: dict[str, str]) -> Inventory:
    cloudwatch = aws.client("cloudwatch")
    found = {}
    for alarm in cloudwatch.describe_alarms()["MetricAlarms"]:
        left_out = (
            "AlarmArn",
            "AlarmConfigurationUpdatedTimestamp",
            "StateReason",
            "StateReasonData",
            "StateTransitionedTimestamp",
            "StateUpdatedTimestamp",
            "StateValue",
        )
        kept = {key: value for key, value in _filled(alarm).items() if key not in left_out}
        kept["Dimensions"] = sorted(kept["Dimensions"], key=lambda dimension: dimension["Name"])  # a set to CloudWatch
        found[f"alarm {alarm['AlarmName']}"] = kept
    for entry in cloudwatch.list_dashboards().get("DashboardEntries", []):
        body = cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"]
        found[f"dashboard {entry['DashboardName']}"] = _parsed(body)
    return found


def _statements(functions: Any, name: str) -> list[dict[str, Any]]:
    policy = json.loads(_or_nothing(functions.get_policy, FunctionName=name).get("Policy", '{"Statement": []}'))
    return list(policy["Statement"])


def _retries(functions: Any, name: str) -> int | None:
    """The template sets this for `$LATEST` and Terraform for the function. On AWS, both are the same."""
    for qualifier in ({}, {"Qualifier": "$LATEST"}):
        settings = _or_nothing(functions.get_function_event_invoke_config, FunctionName=name, **qualifier)
        if settings:
            return int(settings["MaximumRetryAttempts"])
    return None


def _whole(name: str) -> str:
    """A name as a whole JSON string. Other strings may contain it."""
    return json.dumps(name)


def _or_nothing(call: Any, **arguments: str) -> dict[str, Any]:
    try:
        return dict(call(**arguments))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return {}


def _parsed(value: str | None) -> Any:
    try:
        parsed = json.loads(value or "null")
    except ValueError:
        return value
    return parsed if isinstance(parsed, (dict, list)) else value


def _filled(value: Any) -> Any:
    """Removes empty values, which some APIs return and others leave out."""
    if isinstance(value, dict):
        return {key: _filled(part) for key, part in value.items() if part not in (None, [], {}, "") or key == "value"}
    if isinstance(value, list):
        return [_filled(part) for part in value]
    return value


def _sorted_policies(value: Any) -> Any:
    """Sorts statements, actions, resources and principals, whose order means nothing, and removes `Sid`."""
    if isinstance(value, dict):
        statement = "Effect" in value
        parts = {key: _sorted_policies(part) for key, part in value.items()}
        if statement:
            for key in ("Action", "Resource"):
                if key in parts:
                    parts[key] = _listed(parts[key])
            if isinstance(parts.get("Principal"), dict):
                parts["Principal"] = {kind: _listed(who) for kind, who in parts["Principal"].items()}
            parts.pop("Sid", None)
        return parts
    if isinstance(value, list):
        parts = [_sorted_policies(part) for part in value]
        statements = all(isinstance(part, dict) and "Effect" in part for part in parts)
        return sorted(parts, key=lambda part: json.dumps(part, sort_keys=True)) if statements else parts
    return value


def _listed(value: Any) -> list[str]:
    return sorted(value if isinstance(value, list) else [value])
