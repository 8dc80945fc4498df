"""Where the emulator is not AWS, and what makes up for it after the stack was created.

Each entry names what AWS does, what ministack 1.5.33 does, and stays as close to the template as can be: nothing is
granted or changed here that template.yaml does not say.
"""

import json

from emulator import Emulator


def adapt(aws: Emulator, stack: str) -> None:
    """Applies every workaround to a stack that was just created."""
    resources = aws.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    physical_ids: dict[str, list[str]] = {}
    for resource in resources:
        physical_ids.setdefault(resource["ResourceType"], []).append(resource["PhysicalResourceId"])
    [cluster] = physical_ids["AWS::ECS::Cluster"]
    for role in physical_ids["AWS::IAM::Role"]:
        _restate_cluster_condition(aws, role, cluster)
    for mapping in physical_ids["AWS::Lambda::EventSourceMapping"]:
        _restate_maximum_concurrency(aws, mapping)


def _restate_cluster_condition(aws: Emulator, role: str, cluster: str) -> None:
    """AWS authorises ECS calls on tasks and task definitions, with the cluster as the condition key `ecs:cluster`.
    The emulator knows no such key, and takes the cluster for the resource. So each statement with that condition is
    said a second time: the same actions, on the cluster."""
    iam = aws.client("iam")
    [description] = aws.client("ecs").describe_clusters(clusters=[cluster])["clusters"]
    actions: list[str] = []
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        actions += [
            statement["Action"]
            for statement in document["Statement"]
            if "ecs:cluster" in statement.get("Condition", {}).get("ArnEquals", {})
        ]
    if actions:
        statement = {"Effect": "Allow", "Action": actions, "Resource": description["clusterArn"]}
        iam.put_role_policy(
            RoleName=role,
            PolicyName="cluster-as-the-emulator-asks",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )


def _restate_maximum_concurrency(aws: Emulator, mapping: str) -> None:
    """A parameter of type Number reaches a resource as text. CloudFormation makes it a number again; the emulator
    does not, and its poller stumbles over the text."""
    functions = aws.client("lambda")
    scaling = functions.get_event_source_mapping(UUID=mapping)["ScalingConfig"]
    functions.update_event_source_mapping(
        UUID=mapping, ScalingConfig={"MaximumConcurrency": int(scaling["MaximumConcurrency"])}
    )
