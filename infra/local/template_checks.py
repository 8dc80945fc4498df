"""Checks the deployed stack through the AWS APIs."""

import json

import documents
from checkout import ROOT
from checks import Checks
from deployment import STACK
from stack import LABELS, Stack

FUNCTIONS = {"WebhookFunction": "webhook", "WorkerFunction": "worker", "CleanerFunction": "cleaner"}
"""The template's names for the functions, and the documents' names."""

HEADER_OF_VARIABLES = "| variable | functions |"
"""How the documents' table of variables begins. `tests/tests/docs.rs` compares its names with `config.rs`."""


def check(stack: Stack, checks: Checks) -> None:
    """Checks what a deployment can get wrong without failing."""
    resources = stack.aws.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
    physical_id = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    functions = stack.aws.client("lambda")
    settings = {
        name: functions.get_function_configuration(FunctionName=physical_id[name])["Environment"]["Variables"]
        for name in FUNCTIONS
    }
    documented = _documented_variables()
    for name, function in FUNCTIONS.items():
        found = set(settings[name])
        checks.that(
            f"{name} has the variables that the documents list for it",
            found == documented[function],
            sorted(found ^ documented[function]),
        )

    runner_class, docker = json.loads(settings["WorkerFunction"]["RUNNER_CLASSES"])
    checks.that(
        "the default class follows from the parameters",
        runner_class["labels"] == LABELS
        and runner_class["task_definition"] == stack.deployed.task_definition
        and runner_class["security_groups"] == [physical_id["RunnerSecurityGroup"]]
        and runner_class["assign_public_ip"] is True
        and runner_class["capacity"] == ["on-demand"],
        runner_class,
    )

    checks.that(
        "the class with Docker runs on instances, in private subnets and without a public address",
        docker["labels"] == ["docker"]
        and docker["task_definition"] == f"{STACK}-runner-docker"
        and docker["subnets"] == runner_class["subnets"][:1]
        and docker["assign_public_ip"] is False
        and docker["capacity"] == [{"provider": f"docker-{STACK}"}],
        docker,
    )
    definition = stack.aws.client("ecs").describe_task_definition(taskDefinition=docker["task_definition"])
    [container] = definition["taskDefinition"]["containerDefinitions"]
    checks.that(
        "its container is privileged, and Docker's data lie on a volume of the task",
        container["privileged"]
        and [mount["containerPath"] for mount in container["mountPoints"]] == ["/var/lib/docker"]
        and not any("host" in name.lower() for volume in definition["taskDefinition"]["volumes"] for name in volume),
        definition,
    )

    policy = json.loads(functions.get_policy(FunctionName=physical_id["WebhookFunction"])["Policy"])
    allowed = {statement["Action"]: statement["Condition"] for statement in policy["Statement"]}
    checks.that(
        "the Function URL has exactly the two permissions that it needs",
        allowed
        == {
            "lambda:InvokeFunctionUrl": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
            "lambda:InvokeFunction": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
        },
        allowed,
    )

    [mapping] = functions.list_event_source_mappings(FunctionName=physical_id["WorkerFunction"])["EventSourceMappings"]
    checks.that(
        "the worker can return single messages of a batch and handles at most 5 batches at once",
        mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        and mapping["BatchSize"] == 10
        and mapping["ScalingConfig"] == {"MaximumConcurrency": 5},
        mapping,
    )

    # AWS requires these permissions; the emulator does not.
    worker = stack.aws.client("iam").get_role_policy(RoleName=physical_id["WorkerRole"], PolicyName="worker")
    granted = {statement["Sid"]: statement for statement in worker["PolicyDocument"]["Statement"]}
    checks.that(
        "the worker may receive messages, tag a task that it starts, and pass it its two roles",
        {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"} <= set(granted["TakeJobs"]["Action"])
        and granted["TagRunnersAtLaunch"]["Action"] == "ecs:TagResource"
        and granted["TagRunnersAtLaunch"]["Condition"] == {"StringEquals": {"ecs:CreateAction": "RunTask"}}
        and granted["GiveRunnersTheirRoles"]["Action"] == "iam:PassRole"
        and len(granted["GiveRunnersTheirRoles"]["Resource"]) == 2,
        granted,
    )

    queue = stack.aws.client("sqs").get_queue_attributes(
        QueueUrl=stack.deployed.job_queue_url, AttributeNames=["RedrivePolicy", "VisibilityTimeout"]
    )["Attributes"]
    timeout = functions.get_function_configuration(FunctionName=physical_id["WorkerFunction"])["Timeout"]
    checks.that(
        "a message is invisible for six times the worker's timeout, and dead after 5 failures",
        int(queue["VisibilityTimeout"]) >= 6 * timeout and json.loads(queue["RedrivePolicy"])["maxReceiveCount"] == 5,
        queue,
    )

    schedule = stack.aws.client("scheduler").get_schedule(
        Name=physical_id["CleanerFunctionSchedule"], GroupName=physical_id["CleanerSchedules"]
    )
    checks.that(
        "EventBridge Scheduler runs the cleaner every five minutes",
        schedule["ScheduleExpression"] == "rate(5 minutes)" and schedule["State"] == "ENABLED",
        schedule,
    )

    groups = stack.aws.client("logs").describe_log_groups(logGroupNamePrefix=f"/jitgate/{STACK}/")["logGroups"]
    checks.that(
        "every log group keeps logs for 30 days",
        len(groups) == 4 and all(group.get("retentionInDays") == 30 for group in groups),
        groups,
    )
    checks.that(
        "the runners' output cannot become metrics",
        [group["logGroupName"] for group in groups if group.get("logGroupClass") == "INFREQUENT_ACCESS"]
        == [f"/jitgate/{STACK}/runner-output"],
        groups,
    )

    description = stack.aws.client("ecs").describe_task_definition(taskDefinition=stack.deployed.task_definition)
    [container] = description["taskDefinition"]["containerDefinitions"]
    checks.that(
        "the task writes the gate and runs ./run.sh of the official image",
        container["command"][-1].endswith("exec ./run.sh")
        and container["image"].startswith("ghcr.io/actions/actions-runner:"),
        container,
    )


def _documented_variables() -> dict[str, set[str]]:
    """The environment variables of each function, from the documents' table of them."""
    [table] = [
        text[text.index(HEADER_OF_VARIABLES) :].split("\n\n")[0]
        for text in ((ROOT / document).read_text() for document in documents.DOCUMENTS)
        if HEADER_OF_VARIABLES in text
    ]
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in table.splitlines()[2:]]
    return {
        function: {variable.strip("`") for variable, functions in rows if function in functions.split(", ")}
        for function in FUNCTIONS.values()
    }
