"""Whether each role may do what it has to, and nothing else: the deployed policies, held against the code's calls."""

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
"""What Lambda does in the worker's name to take its messages."""

IN_OUR_NAME = LOGGING | POLLING | {"iam:PassRole", "lambda:InvokeFunction"}
"""What AWS asks of a role though the code calls no such operation."""

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
    "what jobs may do in AWS, which is nothing": set(),
}
"""What each role is for. Whoever adds a call adds it here, to template.yaml and to infra/terraform."""

LAUNCHING = {"ecs:TagResource"}
"""What `RunTask` with tags asks for besides."""

OF_A_ROLE = "ASIA"
"""What the keys of a role's sessions begin with."""

NOT_TO_BE_NARROWED = {"ecs:ListTasks"}
"""Actions for which AWS knows no resource that would do; a condition narrows them instead."""

TOLD_ELSEWHERE = {
    ("cleaner", "ecs:UntagResource"): (
        "tests/tests/heal/stuck_tasks.rs",
        "a_registration_that_a_list_skips_is_not_gone",
    ),
}
"""What a function may do and the demo does not show: by function and action, the file and the story that does."""


def check(found: Inventory, checks: Checks) -> None:
    """Walks every statement of every role that was deployed."""
    roles = {key.removeprefix("role "): role for key, role in found.items() if key.startswith("role ")}
    checks.that("the roles are those that have a purpose", set(roles) == set(NEEDS), sorted(roles))
    for purpose, role in roles.items():
        allowed = {action for statement in role["allows"] for action in statement["Action"]}
        needs = NEEDS.get(purpose, set())
        checks.that(
            f"role {purpose}: all it needs is allowed, and no more",
            allowed == needs and role["attached"] == [],
            {"too much": sorted(allowed - needs), "missing": sorted(needs - allowed), "attached": role["attached"]},
        )
    statements = [(purpose, statement) for purpose, role in roles.items() for statement in role["allows"]]
    wide = [(purpose, statement) for purpose, statement in statements if not _narrow(statement)]
    checks.that("no statement is wider than AWS lets one say", wide == [], wide)

    called = _called_by_the_code() - IN_OUR_NAME
    needed = {action for needs in NEEDS.values() for action in needs} - IN_OUR_NAME
    checks.that(
        "the code calls each operation that is allowed, and no other",
        called == needed,
        {"called, not allowed": sorted(called - needed), "allowed, not called": sorted(needed - called)},
    )


def used(stack: Stack, checks: Checks) -> None:
    """After jobs have run and differences were healed: what each function is allowed, it has done, as the emulator's
    record of all calls has it. (What it is not allowed is refused.)"""
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

    # The record has no roles, but keys, and each function has its own: known by what it alone does.
    worker = keys_that("ecs:RunTask")
    cleaner = keys_that("ecs:TagResource") | keys_that("sqs:GetQueueAttributes")
    webhook = keys_that("sqs:SendMessage") - worker - cleaner
    for function, keys in (("webhook", webhook), ("worker", worker), ("cleaner", cleaner)):
        allowed = NEEDS[function] - IN_OUR_NAME - (LAUNCHING if function == "worker" else set())
        allowed |= POLLING & {"sqs:GetQueueAttributes"} if function == "cleaner" else set()
        unused = {action for action in allowed if not any(does(key, action) for key in keys)}
        excused = {action for of, action in TOLD_ELSEWHERE if of == function}
        checks.that(
            f"{function} has used all that it may do, but {len(excused)} that stories tell of",
            unused == excused,
            unused,
        )
    for (_, action), (file, story) in TOLD_ELSEWHERE.items():
        checks.that(f"{action} is told of in {file}", f"fn {story}(" in (ROOT / file).read_text(), story)


def _narrow(statement: dict[str, Any]) -> bool:
    """No wildcard among the actions; every resource named, or no way to name one, and a condition instead."""
    if statement["Effect"] != "Allow" or any("*" in action for action in statement["Action"]):
        return False
    if "*" not in statement["Resource"]:
        return True
    return set(statement["Action"]) <= NOT_TO_BE_NARROWED and "ArnEquals" in statement.get("Condition", {})


def _called_by_the_code() -> set[str]:
    """The operations that the functions' sources send by the AWS SDK, with the service whose client the file uses."""
    calls = set()
    for source in [*(ROOT / "functions").glob("*/src/**/*.rs"), *(ROOT / "shared" / "src").glob("**/*.rs")]:
        text = source.read_text()
        for service in re.findall(r"aws_sdk_(\w+)::", text):
            for call in re.findall(r"client\s*\.(\w+)\(\)", text):
                calls.add(f"{service}:{call.title().replace('_', '')}")
    return calls
