"""Deploys template.yaml as `sam deploy` does: code to S3, then CloudFormation.

As in any packaging, `CodeUri` becomes the uploaded archive instead of the source folder. Resources that the emulator
does not support are left out.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, WaiterError
from samtranslator.yaml_helper import yaml_parse

import quirks
from checkout import TEMPLATE
from emulator import Emulator
from terminal import Problem

STACK = "jitgate"
CODE_BUCKET = "code"

MADE_BY_THE_TRANSFORM = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


@dataclass(frozen=True)
class Deployment:
    """The stack's outputs."""

    webhook_url: str
    secret_arn: str
    cluster: str
    task_definition: str
    job_queue_url: str
    dead_letter_queue_url: str
    cleaner: str


def network(aws: Emulator) -> dict[str, str]:
    """The parameters that have no default: the account's default VPC and its subnets."""
    ec2 = aws.client("ec2")
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    return {"VpcId": vpc["VpcId"], "SubnetIds": ",".join(sorted(subnet["SubnetId"] for subnet in subnets))}


def deploy(aws: Emulator, binaries: dict[str, Path], parameters: dict[str, str]) -> Deployment:
    """Uploads the functions, creates the stack and waits until it is complete."""
    template = _packaged(aws, binaries)
    cloudformation = aws.client("cloudformation")
    try:
        cloudformation.create_stack(
            StackName=STACK,
            TemplateURL=_uploaded(aws, template),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=MADE_BY_THE_TRANSFORM,
        )
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
    except (ClientError, WaiterError) as error:
        raise Problem(f"The stack could not be created: {error}\n{_failures(cloudformation)}") from error
    return find(aws)


def find(aws: Emulator) -> Deployment:
    """The stack that is there."""
    [stack] = aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return deployment_of(aws, stack)


def monitor(aws: Emulator, level: str) -> None:
    """Updates the stack to another level of monitoring."""
    cloudformation = aws.client("cloudformation")
    [stack] = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    kept = [
        {"ParameterKey": parameter["ParameterKey"], "UsePreviousValue": True}
        for parameter in stack["Parameters"]
        if parameter["ParameterKey"] != "Monitoring"
    ]
    cloudformation.update_stack(
        StackName=STACK,
        UsePreviousTemplate=True,
        Parameters=[*kept, {"ParameterKey": "Monitoring", "ParameterValue": level}],
        Capabilities=MADE_BY_THE_TRANSFORM,
    )
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


def deployment_of(aws: Emulator, stack: dict[str, Any]) -> Deployment:
    """Reads a stack's outputs."""
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    return Deployment(
        webhook_url=aws.function_url(outputs["WebhookUrl"]),
        secret_arn=outputs["GitHubSecretArn"],
        cluster=outputs["ClusterName"],
        task_definition=outputs["TaskDefinitionArn"],
        job_queue_url=outputs["JobQueueUrl"],
        dead_letter_queue_url=outputs["DeadLetterQueueUrl"],
        cleaner=outputs["CleanerFunctionName"],
    )


def _packaged(aws: Emulator, binaries: dict[str, Path]) -> dict[str, Any]:
    """Uploads each function's code and returns the template that refers to it."""
    template = yaml_parse(TEMPLATE.read_text())
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=CODE_BUCKET)
    for name, resource in list(template["Resources"].items()):
        if resource["Type"] in quirks.UNKNOWN_TYPES:
            del template["Resources"][name]
        if resource["Type"] == "AWS::Serverless::Function":
            binary = resource["Metadata"]["BuildProperties"]["Binary"]
            s3.put_object(Bucket=CODE_BUCKET, Key=f"{binary}.zip", Body=archive(binaries[binary]))
            resource["Properties"]["CodeUri"] = f"s3://{CODE_BUCKET}/{binary}.zip"
    return template


def _uploaded(aws: Emulator, template: dict[str, Any]) -> str:
    """Uploads the template, which is longer than the 51,200 bytes that CloudFormation takes in the request itself."""
    key = "template.json"
    aws.client("s3").put_object(Bucket=CODE_BUCKET, Key=key, Body=json.dumps(template).encode())
    return f"https://s3.amazonaws.com/{CODE_BUCKET}/{key}"


def archive(binary: Path) -> bytes:
    """Returns an uncompressed zip with one executable, `bootstrap`, as `provided.al2023` expects."""
    archive = io.BytesIO()
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(entry, binary.read_bytes())
    return archive.getvalue()


def _failures(cloudformation: Any) -> str:
    """CloudFormation's reason for each resource that failed."""
    try:
        events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    except ClientError:
        return ""
    return "\n".join(
        f"    {event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for event in events
        if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason")
    )
