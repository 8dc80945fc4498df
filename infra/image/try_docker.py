"""Tries in a real account what no emulator shows: `make try-docker`, or `python3 infra/image/try_docker.py [CLAIM…]`.

It needs the AWS CLI, signed in, and a stack with `DockerCapacity=managed-instances`, whose name is in STACK. It starts
tasks of the stack's task definition with commands of its own, without a runner, and prints for each claim of
docs/START.md what came out. It changes nothing else, and stops what it started.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

LONGEST_START = 1800
"""How many seconds a task may take until it runs or stops: ECS looks for an instance for some minutes."""

INSIDE = """
set -e
docker info --format 'storage driver: {{.Driver}}, cgroups: {{.CgroupVersion}}'
docker run --rm public.ecr.aws/docker/library/busybox:stable wget -q -O /dev/null https://api.github.com/zen
echo 'a container reaches the network'
docker run --rm --memory 64m --cpus 0.5 public.ecr.aws/docker/library/busybox:stable true
echo 'limits of containers work'
"""
"""What the container with Docker runs in place of a runner."""


class Refused(Exception):
    """AWS refused a call, with these words."""


def aws(*arguments: str) -> Any:
    """Calls the AWS CLI."""
    program = os.environ.get("AWS_CLI", "aws")
    done = subprocess.run([program, *arguments, "--output", "json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused(done.stderr.strip())
    return json.loads(done.stdout or "null")


class Trial:
    """A deployed stack, and what was started in it."""

    def __init__(self, stack: str) -> None:
        [described] = aws("cloudformation", "describe-stacks", "--stack-name", stack)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        parameters = {each["ParameterKey"]: each["ParameterValue"] for each in described["Parameters"]}
        self.stack = stack
        self.cluster = outputs["ClusterName"]
        self.provider = outputs["DockerCapacityProvider"]
        self.definition = outputs["DockerTaskDefinitionArn"]
        self.subnets = parameters["DockerSubnetIds"].split(",")
        self.scale_in_after = int(parameters["DockerScaleInAfter"])

    def start(self, script: str, public_ip: bool = False, **overrides: Any) -> str:
        """Starts a task that runs this script in place of a runner, and returns its ARN."""
        network: dict[str, Any] = {"subnets": self.subnets}
        if public_ip:
            network["assignPublicIp"] = "ENABLED"
        container = {"name": "runner", "command": ["sh", "-c", script]}
        answer = aws(
            "ecs",
            "run-task",
            "--cluster",
            self.cluster,
            "--task-definition",
            self.definition,
            "--started-by",
            "try-docker",
            "--capacity-provider-strategy",
            json.dumps([{"capacityProvider": self.provider, "weight": 1}]),
            "--network-configuration",
            json.dumps({"awsvpcConfiguration": network}),
            "--overrides",
            json.dumps({"containerOverrides": [container], **overrides}),
        )
        if not answer["tasks"]:
            raise Refused(json.dumps(answer["failures"]))
        return str(answer["tasks"][0]["taskArn"])

    def stop(self, task: str) -> None:
        """Stops a task that was not to start."""
        aws("ecs", "stop-task", "--cluster", self.cluster, "--task", task, "--reason", "try-docker")

    def end_of(self, task: str) -> dict[str, Any]:
        """Waits until a task has stopped. One that takes too long is stopped."""
        deadline = time.monotonic() + LONGEST_START
        while True:
            [seen] = aws("ecs", "describe-tasks", "--cluster", self.cluster, "--tasks", task)["tasks"]
            if seen["lastStatus"] == "STOPPED":
                return dict(seen)
            if time.monotonic() > deadline:
                self.stop(task)
                deadline += LONGEST_START
            time.sleep(5)


def cluster(trial: Trial) -> str:
    """The cluster's providers."""
    [found] = aws("ecs", "describe-clusters", "--clusters", trial.cluster)["clusters"]
    listed = ", ".join(found["capacityProviders"])
    [provider] = aws("ecs", "describe-capacity-providers", "--capacity-providers", trial.provider)["capacityProviders"]
    return f"the cluster lists {listed}; {trial.provider} is {provider['status']}"


def public_ip(trial: Trial) -> str:
    """Whether ECS refuses a public address."""
    return _refusal(trial, lambda: trial.start("true", public_ip=True))


def disk(trial: Trial) -> str:
    """Whether ECS refuses a disk."""
    return _refusal(trial, lambda: trial.start("true", ephemeralStorage={"sizeInGiB": 50}))


def size(trial: Trial) -> str:
    """How ECS tells that no instance fits: 180 vCPUs are more than `DockerMaxVCpus` should allow."""
    try:
        return _ended(trial.end_of(trial.start("true", cpu=str(180 * 1024), memory="65536")))
    except Refused as refusal:
        return f"refused at once: {refusal}"


def docker(trial: Trial) -> str:
    """Whether Docker works in a task."""
    task = trial.end_of(trial.start(INSIDE))
    said = "".join(f"\n      {line}" for line in _output(trial, task["taskArn"].rsplit("/", 1)[-1]))
    definition = aws("ecs", "describe-task-definition", "--task-definition", trial.definition)["taskDefinition"]
    [container] = definition["containerDefinitions"]
    return f"{_ended(task)}, stopTimeout {container['stopTimeout']} s{said}"


def idle(trial: Trial) -> str:
    """How long the instances stay after their last task."""
    started = time.monotonic()
    while time.monotonic() - started < trial.scale_in_after + 900:
        if not aws("ecs", "list-container-instances", "--cluster", trial.cluster)["containerInstanceArns"]:
            took = time.monotonic() - started
            return f"no instance is left after {took:.0f} s; ScaleInAfter is {trial.scale_in_after} s"
        time.sleep(10)
    return f"instances are left {trial.scale_in_after + 900} s later: does another task run?"


def _output(trial: Trial, task: str) -> list[str]:
    """What a task's container wrote. Its log group has the class Infrequent Access, which only Logs Insights reads."""
    time.sleep(20)  # until the last lines can be found
    now = int(time.time())
    query = aws(
        "logs",
        "start-query",
        "--log-group-name",
        f"/jitgate/{trial.stack}/runner-output",
        "--start-time",
        str(now - 2 * LONGEST_START),
        "--end-time",
        str(now + 60),
        "--query-string",
        f"fields @message | filter @logStream = 'runner/runner/{task}' | sort @timestamp asc",
    )["queryId"]
    while (found := aws("logs", "get-query-results", "--query-id", query))["status"] in ("Scheduled", "Running"):
        time.sleep(1)
    return [field["value"] for line in found["results"] for field in line if field["field"] == "@message"]


def _refusal(trial: Trial, start: Callable[[], str]) -> str:
    try:
        task = start()
    except Refused as refusal:
        return f"refused: {refusal}"
    trial.stop(task)
    return f"NOT refused: {task} was started, and is stopped"


def _ended(task: dict[str, Any]) -> str:
    codes = [container.get("exitCode") for container in task["containers"]]
    moments = [task.get(name) for name in ("createdAt", "pullStartedAt", "pullStoppedAt", "startedAt", "stoppedAt")]
    return (
        f"{task['stopCode']}: {task['stoppedReason']}; exit codes {codes}; created, pull, started, stopped: {moments}"
    )


CLAIMS: dict[str, Callable[[Trial], str]] = {
    "cluster": cluster,
    "public-ip": public_ip,
    "disk": disk,
    "size": size,
    "docker": docker,
    "idle": idle,
}
"""By the names of docs/START.md, in an order in which the last one finds no task."""


def main() -> int:
    """Tries the claims."""
    parser = argparse.ArgumentParser(description="Tries in a real account what no emulator shows.")
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=f"any of {', '.join(CLAIMS)}; all if none is named")
    claims = parser.parse_args().claims or list(CLAIMS)
    unknown = [claim for claim in claims if claim not in CLAIMS]
    if unknown or "STACK" not in os.environ:
        parser.error(f"no such claim: {', '.join(unknown)}" if unknown else "set STACK to the stack's name")
    try:
        trial = Trial(os.environ["STACK"])
    except (Refused, KeyError) as problem:
        print(f"The stack cannot be read, or is without Docker: {problem}", file=sys.stderr)
        return 1
    failed = False
    for claim in claims:
        try:
            print(f"  {claim}: {CLAIMS[claim](trial)}", flush=True)
        except Refused as refusal:
            failed = True
            print(f"  {claim}: could not be tried: {refusal}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
