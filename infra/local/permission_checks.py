"""Checks that each role may do what it must, and nothing else, by comparing deployed policies with the code's calls."""

import re
from typing import Any

from checkout import ROOT
from checks import Checks
from inventory import Inventory
from stack import Stack

LOGGING = {"logs:CreateLogStream", "logs:PutLogEvents"}

POLLING = {
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
}
"""The calls that Lambda makes with the worker's role to receive its messages."""

IN_OUR_NAME = LOGGING | POLLING | {"iam:PassRole", "lambda:InvokeFunction"}
"""Permissions that AWS requires although the code makes no such call."""

SEEING = {"ecs:DescribeTasks", "ecs:ListTasks"}

NEEDS = {
    "webhook": LOGGING | {"secretsmanager:GetSecretValue", "sqs:SendMessage"},
    "worker": LOGGING
    | POLLING
    | SEEING
    | {"secretsmanager:GetSecretValue", "sqs:SendMessage"}
    | {"ecs:RunTask", "ecs:StopTask", "ecs:TagResource", "iam:PassRole"},
    "cleaner": LOGGING
    | SEEING
    | {"secretsmanager:GetSecretValue", "sqs:GetQueueAttributes", "sqs:SendMessage"}
    | {"ecs:StopTask", "ecs:TagResource", "ecs:UntagResource"},
    "schedule": {"lambda:InvokeFunction"},
    "starts the runner's container": LOGGING,
    "jobs, without permissions": set(),
    "starts and ends instances": {"iam:PassRole"},
    "instances, for the agent of ECS": set(),
}
"""The actions that each role needs. A new call belongs here, in template.yaml and in infra/terraform."""

ATTACHED = {
    "starts and ends instances": ["AmazonECSInfrastructureRolePolicyForManagedInstances"],
    "instances, for the agent of ECS": ["AmazonECSInstanceRolePolicyForManagedInstances"],
}
"""The policies of AWS that a role has; the others have none."""

LAUNCHING = {"ecs:TagResource"}
"""The permission that `RunTask` needs for its tags."""

OF_A_ROLE = "ASIA"
"""How the access keys of a role's sessions begin."""

NOT_TO_BE_NARROWED = {"ecs:ListTasks"}
"""Actions that cannot be limited to a resource of ours; a condition limits them instead."""

SHOWN_BY_A_STORY = {("cleaner", "ecs:UntagResource"): "a_registration_that_a_list_skips_is_not_gone"}
"""Actions that the demo does not show, by function, and the story in `tests/tests` that does."""

SHOWN_BY_CHANCE = {("worker", "sqs:SendMessage"): "a_run_that_github_does_not_show_yet_is_asked_for_again_soon"}
"""Actions that the demo shows only if a call happens to fail, and the story that shows them:
nothing else in the demo makes the worker defer a job."""


def check(found: Inventory, checks: Checks) -> None:
    """Checks every statement of every deployed role."""
    roles = {key.removeprefix("role "): role for key, role in found.items() if key.startswith("role ")}
    checks.that("the roles are those that are needed", set(roles) == set(NEEDS), sorted(roles))
    for purpose, role in roles.items():
        allowed = {action for statement in role["allows"] for action in statement["Action"]}
        needs = NEEDS.get(purpose, set())
        checks.that(
            f"role {purpose}: exactly the needed actions are allowed",
            allowed == needs and [each["PolicyName"] for each in role["attached"]] == ATTACHED.get(purpose, []),
            {"too much": sorted(allowed - needs), "missing": sorted(needs - allowed), "attached": role["attached"]},
        )
    denied = [
        (set(statement["Action"]), set(statement["Resource"]))
        for statement in roles["jobs, without permissions"]["denies"]
    ]
    checks.that("jobs are denied everything, whatever a resource policy grants", denied == [({"*"}, {"*"})], denied)
    statements = [(purpose, statement) for purpose, role in roles.items() for statement in role["allows"]]
    wide = [(purpose, statement) for purpose, statement in statements if not _narrow(statement)]
    checks.that("each statement is as narrow as AWS allows", wide == [], wide)

    called = _called_by_the_code() - IN_OUR_NAME
    needed = {action for needs in NEEDS.values() for action in needs} - IN_OUR_NAME
    checks.that(
        "the code calls each allowed operation, and no other",
        called == needed,
        {"called, not allowed": sorted(called - needed), "allowed, not called": sorted(needed - called)},
    )


def used(stack: Stack, checks: Checks) -> None:
    """Checks that each function has used each of its permissions, by the emulator's record of calls. Needs the demo to
    have run."""
    trail = stack.aws.client("cloudtrail")

    def keys_that(action: str) -> set[str]:
        name = {"AttributeKey": "EventName", "AttributeValue": action.split(":")[1]}
        found = {event["AccessKeyId"] for event in trail.lookup_events(LookupAttributes=[name])["Events"]}
        return {key for key in found if key.startswith(OF_A_ROLE)}

    def does(key: str, action: str) -> bool:
        service, name = action.split(":")
        wanted = {"EventName": name, "AccessKeyId": key, "EventSource": f"{service}.amazonaws.com"}
        attributes = [{"AttributeKey": each, "AttributeValue": value} for each, value in wanted.items()]
        return bool(trail.lookup_events(LookupAttributes=attributes)["Events"])

    # The record shows access keys instead of roles. A call that only one function makes identifies its keys.
    worker = keys_that("ecs:RunTask")
    cleaner = keys_that("ecs:TagResource") | keys_that("sqs:GetQueueAttributes")
    webhook = keys_that("sqs:SendMessage") - worker - cleaner
    for function, keys in (("webhook", webhook), ("worker", worker), ("cleaner", cleaner)):
        allowed = NEEDS[function] - IN_OUR_NAME - (LAUNCHING if function == "worker" else set())
        allowed |= POLLING & {"sqs:GetQueueAttributes"} if function == "cleaner" else set()
        unused = {action for action in allowed if not any(does(key, action) for key in keys)}
        excused = {action for of, action in SHOWN_BY_A_STORY if of == function}
        unused -= {action for of, action in SHOWN_BY_CHANCE if of == function}
        checks.that(
            f"{function} has used each of its permissions, except {len(excused)} that a story shows",
            unused == excused,
            unused,
        )
    stories = "".join(file.read_text() for file in (ROOT / "tests" / "tests").rglob("*.rs"))
    for (_, action), story in (SHOWN_BY_A_STORY | SHOWN_BY_CHANCE).items():
        checks.that(f"a story shows {action}", f"fn {story}(" in stories, story)


def _narrow(statement: dict[str, Any]) -> bool:
    """Whether no action has a wildcard, and every resource is named or, if that is impossible, a condition is set."""
    if statement["Effect"] != "Allow" or any("*" in action for action in statement["Action"]):
        return False
    if "*" not in statement["Resource"]:
        return True
    return set(statement["Action"]) <= NOT_TO_BE_NARROWED and "ArnEquals" in statement.get("Condition", {})


def _called_by_the_code() -> set[str]:
    """The AWS SDK operations in the functions' sources, with the service whose client the file uses."""
    calls = set()
    for source in [*(ROOT / "functions").glob("*/src/**/*.rs"), *(ROOT / "shared" / "src").glob("**/*.rs")]:
        text = source.read_text()
        for service in re.findall(r"aws_sdk_(\w+)::", text):
            for call in re.findall(r"client\s*\.(\w+)\(\)", text):
                calls.add(f"{service}:{call.title().replace('_', '')}")
    return calls
