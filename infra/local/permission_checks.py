"""Whether each role may do what it has to, and nothing else: the deployed policies, held against the code's calls."""

import re
from typing import Any

from checkout import ROOT
from checks import Checks
from inventory import Inventory

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

NOT_TO_BE_NARROWED = {"ecs:ListTasks"}
"""Actions for which AWS knows no resource that would do; a condition narrows them instead."""

SERVICES = {"sqs": "sqs", "ecs": "ecs", "secretsmanager": "secretsmanager"}


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
