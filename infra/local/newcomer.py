"""Follows the docs word by word, from a clone to a first job, and on to removing everything.

The commands come from the documents themselves (`documents.NEWCOMER`). Only the words in capitals are replaced, as a
reader would do, and each program is pointed at the emulator: `aws` and `cargo lambda` with `--endpoint-url`, `sam` with
an environment variable.

`sam build` is not run, because its release builds take many minutes; a CI job runs it. Its result, `.aws-sam/build`, is
made from the binaries of this build.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

import deployment
import documents
import inventory
import quirks
from checkout import ROOT, TEMPLATE, VENV
from checks import Checks
from deployment import STACK, Deployment
from emulator import REGION, ROOT_KEY, Emulator
from terminal import Problem, paint, say

APP_ID = "123456"

KEY_FILE = "APP.private-key.pem"


@dataclass
class Newcomer:
    """A reader of the docs, in a checkout of their own, with the emulator as AWS."""

    aws: Emulator
    folder: Path
    words: dict[str, str] = field(default_factory=dict)
    done: set[documents.Block] = field(default_factory=set)

    def follow(self, document: str, heading: str, answers: str = "") -> str:
        """Runs every block marked `sh` below a heading and returns the output."""
        printed = ""
        found = [block for block in documents.blocks() if (block.document, block.heading) == (document, heading)]
        for block in [block for block in found if block.mark == "sh"]:
            self.words = self.words or _words(self.aws)
            printed += self.type(block.text, answers)
            self.done.add(block)
        return printed

    def type(self, text: str, answers: str = "") -> str:
        """Runs a block with its words in capitals replaced. A failing command raises a `Problem`."""
        for line in text.splitlines():
            if line.strip():
                say(f"  {paint('$ ' + line, 'dim')}")
        for word, value in self.words.items():
            text = re.sub(rf"\b{re.escape(word)}\b", value, text)
        script = f"set -euo pipefail\n{self._programs()}\n{text}"
        (self.folder / "answers").write_text(answers)
        with (self.folder / "answers").open() as stdin:
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=self.folder,
                env=self.environment(),
                stdin=stdin,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        if done.returncode != 0:
            raise Problem(f"A command in the docs failed:\n{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Inherits only PATH, not the user's AWS profile."""
        return {
            "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.aws.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "SAM_CLI_TELEMETRY": "0",
            **ROOT_KEY,
        }

    def _programs(self) -> str:
        """Shell functions: `aws` ignores `AWS_ENDPOINT_URL` for SQS, and cargo looks for subcommands beside itself."""
        return f"""\
aws() {{ command aws --endpoint-url {self.aws.url} "$@"; }}
cargo() {{
    [ "$1 $2" = "lambda deploy" ] || {{ echo "only to deploy" >&2; return 1; }}
    cargo-lambda lambda deploy --endpoint-url {self.aws.url} --lambda-dir built "${{@:3}}"
}}
sam() {{ if [ "$1" = build ]; then true; else command sam "$@"; fi; }}"""


def deploy(
    aws: Emulator, binaries: dict[str, Path], parameters: dict[str, str], scratch: Path
) -> tuple[Deployment, Newcomer]:
    """Follows docs/OPERATIONS.md, "With SAM", and answers its questions."""
    newcomer = Newcomer(aws, _checkout(binaries, scratch))
    newcomer.follow("docs/OPERATIONS.md", "With SAM", _answers(parameters))
    return deployment.find(aws), newcomer


def fill_secret(newcomer: Newcomer, private_key: str) -> None:
    """The App and the secret by hand, with the key that GitHub would have generated."""
    newcomer.follow("docs/OPERATIONS.md", "The GitHub App by hand")
    (newcomer.folder / KEY_FILE).write_text(private_key)
    newcomer.follow("docs/OPERATIONS.md", "The secret by hand")


def prove(newcomer: Newcomer) -> None:
    """The proof, once there is a GitHub to sign in to."""
    proof = newcomer.follow("docs/OPERATIONS.md", "The proof")
    if '"StatusCode": 200' not in proof or "FunctionError" in proof:
        raise Problem(f"The proof in docs/OPERATIONS.md proves nothing:\n{proof}")
    left = [name for name in ("secret.json", KEY_FILE) if (newcomer.folder / name).exists()]
    if left:
        raise Problem(f"docs/OPERATIONS.md leaves secrets behind: {left}")


def operate(newcomer: Newcomer, deployed: Deployment, checks: Checks) -> None:
    """Follows the docs on operation: watching, replacing a function, rotating the webhook secret."""
    under_way = newcomer.follow("docs/OPERATIONS.md", "Upgrading")
    checks.that("the docs' command shows the jobs that wait", "waiting" in under_way, under_way)
    newcomer.follow("docs/OPERATIONS.md", "The dead-letter queue")

    before = _functions(newcomer.aws)
    newcomer.follow("docs/OPERATIONS.md", "One function alone")
    for name in ("webhook", "cleaner"):
        [function] = [each for each in before if name.capitalize() in each]
        newcomer.type(f"cargo lambda deploy --binary-name {name} {function}\n")
    after = _functions(newcomer.aws)
    changed = inventory.differences(before, after)
    checks.that("`cargo lambda deploy` changes only a function's code", not changed, changed)

    secrets = newcomer.aws.client("secretsmanager")
    old = json.loads(secrets.get_secret_value(SecretId=deployed.secret_arn)["SecretString"])
    newcomer.follow("docs/OPERATIONS.md", "The secret")
    new = json.loads(secrets.get_secret_value(SecretId=deployed.secret_arn)["SecretString"])
    checks.that(
        "only the webhook secret is replaced",
        new["webhook_secret"] != old["webhook_secret"]
        and {**new, "webhook_secret": ""} == {**old, "webhook_secret": ""},
        sorted(new),
    )


def remove(newcomer: Newcomer, checks: Checks) -> None:
    """Removes the stack and runs the docs' own proof that nothing is left."""
    newcomer.type(_in_the_text("docs/OPERATIONS.md", "sam delete --stack-name STACK"), "y\ny\ny\n")
    proof = newcomer.follow("docs/OPERATIONS.md", "Removing everything").split()
    checks.that("after `sam delete`, the docs' own proof finds nothing left", set(proof) == {"[]"}, proof)
    wanted = [block for block in documents.blocks() if (block.document, block.heading) in documents.NEWCOMER]
    left = [block for block in wanted if block.mark == "sh" and block not in newcomer.done]
    checks.that("every block marked `sh` was run as written", not left, left)


def _words(aws: Emulator) -> dict[str, str]:
    """The values of the words in capitals, once there is a stack."""
    try:
        deployed = deployment.find(aws)
    except ClientError:
        return {}
    functions = [each["FunctionName"] for each in aws.client("lambda").list_functions()["Functions"]]
    urls = {"JOB_QUEUE": deployed.job_queue_url, "DEAD_LETTER_QUEUE": deployed.dead_letter_queue_url}
    attributes = {
        name: aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        for name, url in urls.items()
    }
    return {
        "STACK": STACK,
        "GITHUB_SECRET_ARN": deployed.secret_arn,
        "SECRET": deployed.secret_arn,
        "APP_ID": APP_ID,
        "CLUSTER": deployed.cluster,
        **{f"{name}_URL": url for name, url in urls.items()},
        **{f"{name}_ARN": of_queue["QueueArn"] for name, of_queue in attributes.items()},
        "WORKER_FUNCTION": next(name for name in functions if "Worker" in name),
        "CLEANER_FUNCTION": next(name for name in functions if "Cleaner" in name),
    }


def _in_the_text(document: str, command: str) -> str:
    """Returns a command after checking that the document's text contains it."""
    if f"`{command}`" not in (ROOT / document).read_text():
        raise Problem(f"{document} does not contain `{command}`.")
    return f"{command}\n"


def _checkout(binaries: dict[str, Path], scratch: Path) -> Path:
    """Makes a folder like a clone after `sam build` and `cargo lambda build`."""
    folder = scratch / "clone"
    folder.mkdir()
    for name in (
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        "functions",
        "infra",
        "shared",
        "tests",
        "template.yaml",
    ):
        (folder / name).symlink_to(ROOT / name)
    for name in ("webhook", "worker", "cleaner"):
        code = folder / "built" / name
        code.mkdir(parents=True)
        shutil.copy(binaries[name], code / "bootstrap")
    template = yaml_parse(TEMPLATE.read_text())
    for name, resource in list(template["Resources"].items()):
        if resource["Type"] in quirks.UNKNOWN_TYPES:
            del template["Resources"][name]
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = str(
                folder / "built" / resource["Metadata"]["BuildProperties"]["Binary"]
            )
    built = folder / ".aws-sam" / "build"
    built.mkdir(parents=True)
    (built / "template.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(template)), sort_keys=False))
    return folder


def _answers(parameters: dict[str, str]) -> str:
    """The answers to `sam deploy --guided`: the parameters, in the template's order; otherwise the defaults."""
    asked = yaml_parse(TEMPLATE.read_text())["Parameters"]
    confirm_changes, create_roles, keep_on_failure = "", "", ""
    no_authentication_is_fine = "y"
    save, file, environment = "n", "", ""
    lines = [STACK, REGION, *(parameters.get(name, "") for name in asked)]
    lines += [confirm_changes, create_roles, keep_on_failure, no_authentication_is_fine, save, file, environment]
    return "\n".join(lines) + "\n"


def _functions(aws: Emulator) -> dict[str, dict[str, Any]]:
    """Each function's configuration, without the fields that a deployment of code changes."""
    of_code = {"CodeSha256", "CodeSize", "LastModified", "RevisionId", "Version"}
    state = ("State", "StateReason", "StateReasonCode")
    update = ("LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode")
    return {
        each["FunctionName"]: {key: value for key, value in each.items() if key not in {*of_code, *state, *update}}
        for each in aws.client("lambda").list_functions()["Functions"]
    }
