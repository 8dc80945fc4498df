"""Differences between AWS and the emulator, ministack 1.5.33, and the workarounds for them.

A workaround grants and changes nothing that template.yaml does not grant or set.
"""

import json
from typing import Any

from emulator import Emulator

UNKNOWN_TYPES = {"AWS::Logs::QueryDefinition", "AWS::ECS::CapacityProvider"}
"""Resources that the emulator does not support, neither through CloudFormation nor through their own API."""

TERRAFORM_OVERRIDE = """\
resource "aws_cloudwatch_query_definition" "saved" {
  for_each = {}
}

locals {
  docker_instances = {}
}
"""
"""Leaves the same resources out of the Terraform module."""

NOT_PARITY = {
    "function worker: recursion": "CloudFormation's RecursiveLoop is ignored",
    "security group: IpPermissionsEgress": "only CloudFormation keeps a rule's description",
    "task definition jitgate-runner: runtimePlatform": "CloudFormation's RuntimePlatform is ignored",
}
"""Differences in the inventories that the emulator causes, though the template and the module set the same."""

NOT_A_CHANGE = {
    "aws_cloudwatch_metric_alarm": "its answer to Terraform leaves out half of an alarm",
}
"""Types that Terraform wants to change again after `apply`, and how the emulator causes that."""


def causes(change: dict[str, Any]) -> bool:
    """Whether the emulator causes this change in Terraform's plan."""
    kind = change["address"].removeprefix("module.jitgate.").split(".")[0]
    return kind in NOT_A_CHANGE and change["actions"] == ["update"]


EXTRA_POLICY = "cluster-as-the-emulator-asks"


def adapt(aws: Emulator, cluster: str) -> None:
    """Applies every workaround to a new deployment."""
    for role in aws.client("iam").list_roles()["Roles"]:
        _restate_resources(aws, role["RoleName"], cluster)
    for mapping in aws.client("lambda").list_event_source_mappings()["EventSourceMappings"]:
        _restate_maximum_concurrency(aws, mapping["UUID"])


def undo(aws: Emulator) -> None:
    """Removes the policies that `adapt` added, which Terraform's plan would otherwise show."""
    iam = aws.client("iam")
    for role in iam.list_roles()["Roles"]:
        if EXTRA_POLICY in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            iam.delete_role_policy(RoleName=role["RoleName"], PolicyName=EXTRA_POLICY)


def _restate_resources(aws: Emulator, role: str, cluster: str) -> None:
    """AWS authorises ECS calls on tasks and task definitions, with the cluster in the condition key `ecs:cluster`. The
    emulator has no such key and treats the cluster as the resource. For calls on a task's tags, which do not name a
    cluster, it has no resource at all. So this repeats each such statement: the same actions, on the cluster or on
    anything."""
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
    """A parameter of type Number reaches a resource as a string. CloudFormation converts it to a number; the emulator
    does not, and its poller fails on the string."""
    functions = aws.client("lambda")
    scaling = functions.get_event_source_mapping(UUID=mapping)["ScalingConfig"]
    functions.update_event_source_mapping(
        UUID=mapping, ScalingConfig={"MaximumConcurrency": int(scaling["MaximumConcurrency"])}
    )
