"""Where the emulator is not AWS, and what makes up for it.

Each entry names what AWS does, what ministack 1.5.33 does, and stays as close to the template as can be: nothing is
granted or changed here that template.yaml does not say.
"""

import json
from typing import Any

from emulator import Emulator

UNKNOWN_TYPES = {"AWS::Logs::QueryDefinition"}
"""Resources the emulator cannot make, neither by CloudFormation nor by their own API."""

TERRAFORM_OVERRIDE = """\
resource "aws_cloudwatch_query_definition" "saved" {
  for_each = {}
}
"""
"""The same, said to the Terraform module."""

NOT_PARITY = {
    "function worker: recursion": "CloudFormation's RecursiveLoop is taken and forgotten",
    "security group: IpPermissionsEgress": "a rule's description is kept by CloudFormation only",
    "task definition jitgate-runner: runtimePlatform": "CloudFormation's RuntimePlatform is taken and forgotten",
}
"""In what the emulator lets a deployment by the template and one by Terraform differ, though both say the same."""

NOT_A_CHANGE = {
    "aws_cloudwatch_metric_alarm": "in the protocol Terraform speaks, an alarm is described by half",
}
"""What Terraform would change at once after it was applied, by type, and how the emulator causes it."""


def causes(change: dict[str, Any]) -> bool:
    """Whether it is the emulator that makes Terraform want this change."""
    kind = change["address"].removeprefix("module.jitgate.").split(".")[0]
    return kind in NOT_A_CHANGE and change["actions"] == ["update"]


EXTRA_POLICY = "cluster-as-the-emulator-asks"


def adapt(aws: Emulator, cluster: str) -> None:
    """Applies every workaround to a deployment that was just made."""
    for role in aws.client("iam").list_roles()["Roles"]:
        _restate_resources(aws, role["RoleName"], cluster)
    for mapping in aws.client("lambda").list_event_source_mappings()["EventSourceMappings"]:
        _restate_maximum_concurrency(aws, mapping["UUID"])


def undo(aws: Emulator) -> None:
    """Takes back what `adapt` added, before a tool looks that knows nothing of it."""
    iam = aws.client("iam")
    for role in iam.list_roles()["Roles"]:
        if EXTRA_POLICY in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            iam.delete_role_policy(RoleName=role["RoleName"], PolicyName=EXTRA_POLICY)


def _restate_resources(aws: Emulator, role: str, cluster: str) -> None:
    """AWS authorises ECS calls on tasks and task definitions, with the cluster as the condition key `ecs:cluster`.
    The emulator knows no such key, and takes the cluster for the resource; and for the tags of a task, which no cluster
    comes with, it knows no resource at all. So each such statement is said a second time: the same actions, on the
    cluster, or on anything."""
    iam = aws.client("iam")
    [description] = aws.client("ecs").describe_clusters(clusters=[cluster])["clusters"]
    on_cluster: list[str] = []
    on_tags: list[str] = []
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        for statement in document["Statement"]:
            actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            condition = statement.get("Condition", {})
            if "ecs:cluster" in condition.get("ArnEquals", {}):
                on_cluster += actions
            elif not condition:
                on_tags += [action for action in actions if action in ("ecs:TagResource", "ecs:UntagResource")]
    statements = [
        {"Effect": "Allow", "Action": actions, "Resource": resource}
        for actions, resource in ((on_cluster, description["clusterArn"]), (on_tags, "*"))
        if actions
    ]
    if statements:
        iam.put_role_policy(
            RoleName=role,
            PolicyName=EXTRA_POLICY,
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
        )


def _restate_maximum_concurrency(aws: Emulator, mapping: str) -> None:
    """A parameter of type Number reaches a resource as text. CloudFormation makes it a number again; the emulator
    does not, and its poller stumbles over the text."""
    functions = aws.client("lambda")
    scaling = functions.get_event_source_mapping(UUID=mapping)["ScalingConfig"]
    functions.update_event_source_mapping(
        UUID=mapping, ScalingConfig={"MaximumConcurrency": int(scaling["MaximumConcurrency"])}
    )
