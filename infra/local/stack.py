"""The local stack: emulator, deployment, secret and GitHub stand-in, started and stopped together."""

import json
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import command
import deployment
import emulator
import github_pages
import inventory
import newcomer
import quirks
import standin
import terraform
from checkout import LOGS, STATE
from deployment import Deployment
from emulator import Emulator
from inventory import Inventory
from newcomer import Newcomer
from processes import chosen_port
from standin import App, StandIn
from terminal import Problem, paint, say
from terraform import Applied, Terraform

ORGANIZATION = "octo-org"
"""The organisation of GitHub's example payloads."""

LABELS = ["fargate", "linux", "x64"]
"""The deployed class's labels."""


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    aws: Emulator
    deployed: Deployment
    github: StandIn
    webhook_secret: str
    made_secret: str
    found: Inventory
    applied: Applied | None
    newcomer: Newcomer | None
    ending: ExitStack

    def monitor(self, level: str) -> None:
        """Deploys another level of monitoring."""
        if self.applied is None:
            deployment.monitor(self.aws, level)
        else:
            self.applied.monitor(level)

    def leave_running(self) -> None:
        """Lets the stack outlive the `with` block and this program."""
        self.ending.pop_all()


@contextmanager
def stack(
    binaries: dict[str, Path],
    name: str,
    by: Terraform | None = None,
    as_newcomer: bool = False,
    with_docker: bool = False,
) -> Iterator[Stack]:
    """Runs the stack during the `with` block. It is deployed with `jitgate setup`, with Terraform, or as
    docs/OPERATIONS.md says. The name keeps apart the logs of stacks that run at the same time."""
    emulator_port = chosen_port("EMULATOR_PORT")
    with ExitStack() as ending:
        scratch = _scratch_folder(ending)
        aws = emulator.start(ending, emulator_port, scratch, LOGS / name / "emulator.log")
        say(f"  the AWS emulator listens on {aws.url}")
        place = Place(ending, binaries, name, aws, scratch)
        if by is None and not as_newcomer:
            yield _by_command(place, with_docker)
        else:
            yield _by_hand(place, by, with_docker)


@dataclass(frozen=True)
class Place:
    """Where a stack starts: an empty account."""

    ending: ExitStack
    binaries: dict[str, Path]
    name: str
    aws: Emulator
    scratch: Path

    @property
    def standin_log(self) -> Path:
        """The log of the GitHub stand-in."""
        return LOGS / self.name / "standin.log"


def _by_command(place: Place, with_docker: bool) -> Stack:
    """Deploys with `jitgate setup`. GitHub has no App before, and its pages are answered as by a browser."""
    aws, port = place.aws, chosen_port("GITHUB_PORT")
    github = standin.start_empty(
        place.ending, place.binaries["standin"], aws, ORGANIZATION, None, port, place.standin_log
    )
    say(f"  the GitHub stand-in listens on {github.url}")
    parameters = _parameters(aws, with_docker)
    arguments = command.setup(github.url, ORGANIZATION, command.code(place.binaries, place.scratch), parameters)
    say(f"  {paint('$ jitgate ' + shlex.join(arguments), 'dim')}")
    user = command.for_user(place.binaries["jitgate"], aws, place.scratch / "home")
    run = user.start(*arguments)
    github_pages.follow(run)
    done = run.wait()
    say("\n".join(f"    {paint(line, 'dim')}" for line in done.text.splitlines()))
    if done.code != 0:
        raise Problem(f"`jitgate setup` ended with code {done.code}.")
    deployed = deployment.find(aws)
    found, secret = inventory.take(aws), _webhook_secret(aws, deployed)
    quirks.adapt(aws, deployed.cluster)
    return Stack(aws, deployed, github, secret, secret, found, None, None, place.ending)


def _by_hand(place: Place, by: Terraform | None, with_docker: bool) -> Stack:
    """Deploys as the documents say, and fills in the secret of an App that is there."""
    aws, github_port = place.aws, chosen_port("GITHUB_PORT")
    parameters = {
        **deployment.network(aws),
        **_parameters(aws, with_docker),
        "GitHubApiUrl": f"http://127.0.0.1:{github_port}",
    }
    applied, new = None, None
    if by is None:
        deployed, new = newcomer.deploy(aws, place.binaries, parameters, place.scratch)
    else:
        deployed, applied = terraform.apply(by, aws, place.binaries, parameters, place.scratch)
    found, made_secret = inventory.take(aws), _webhook_secret(aws, deployed)
    quirks.adapt(aws, deployed.cluster)
    what = "infra/terraform" if by else "template.yaml"
    say(f"  {what} is deployed; its Function URL is {deployed.webhook_url}")
    app = _fill_secret(aws, deployed, place.scratch, new)
    say("  the secret is filled in with a GitHub App's id and key, and a webhook secret")
    github = standin.start(place.ending, place.binaries["standin"], github_port, app, aws, deployed, place.standin_log)
    say(f"  the GitHub stand-in listens on {github.url}")
    if new is not None:
        newcomer.prove(new)
    return Stack(aws, deployed, github, app.webhook_secret, made_secret, found, applied, new, place.ending)


def _scratch_folder(ending: ExitStack) -> Path:
    """Makes a folder that is deleted with the stack."""
    STATE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=STATE))
    ending.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _parameters(aws: Emulator, with_docker: bool) -> dict[str, str]:
    """The parameters that this machine requires, and those that add Docker's resources."""
    return {
        "RunnerLabels": ",".join(LABELS),
        "FunctionArchitecture": terraform.default_architecture(),
        **({} if not with_docker else docker_parameters(deployment.network(aws)["SubnetIds"].split(",")[0])),
    }


def docker_parameters(subnet: str) -> dict[str, str]:
    """The parameters without which there are no resources for jobs with Docker."""
    return {"DockerCapacity": "managed-instances", "DockerImage": "runner-docker:local", "DockerSubnetIds": subnet}


def _webhook_secret(aws: Emulator, deployed: Deployment) -> str:
    """The webhook secret that the deployment generated."""
    value = aws.client("secretsmanager").get_secret_value(SecretId=deployed.secret_arn)["SecretString"]
    return json.loads(value)["webhook_secret"]


def _fill_secret(aws: Emulator, deployed: Deployment, scratch: Path, new: Newcomer | None) -> App:
    """Fills in the App's id and a new key, as a user of the stack does."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public_key_file = scratch / "app-public-key.pem"
    public_key_file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    private_key = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    if new is not None:
        newcomer.fill_secret(new, private_key)
        value = json.loads(aws.client("secretsmanager").get_secret_value(SecretId=deployed.secret_arn)["SecretString"])
        return App(value["app_id"], value["private_key"], public_key_file, value["webhook_secret"])
    app = App(newcomer.APP_ID, private_key, public_key_file, secrets.token_hex(32))
    value = {"app_id": app.app_id, "private_key": app.private_key, "webhook_secret": app.webhook_secret}
    aws.client("secretsmanager").put_secret_value(SecretId=deployed.secret_arn, SecretString=json.dumps(value))
    return app
