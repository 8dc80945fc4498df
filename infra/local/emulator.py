"""The AWS emulator: ministack, on loopback, without Docker.

It runs `provided.al2023` functions as plain processes, and hands its own `AWS_ENDPOINT_URL` on to them: nothing in the
template knows that it is not on AWS. It enforces the functions' own IAM roles, so that most permissions that
template.yaml forgets are missing here, too; `template_checks.py` looks for those it does not ask for.
"""

import os
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from checkout import VENV
from processes import serve

REGION = "us-east-1"

# Any pair will do: the emulator takes its own start-up environment's key for the account's root.
ROOT_KEY = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@dataclass(frozen=True)
class Emulator:
    """An emulator that answers."""

    url: str
    pid: int

    def client(self, service: str) -> Any:
        """A client with the account's root key, such as somebody who deploys has."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ROOT_KEY["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ROOT_KEY["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}, retries={"max_attempts": 1}, read_timeout=60),
        )

    def function_url(self, public: str) -> str:
        """Where the emulator answers what on AWS is `https://ID.lambda-url.REGION.on.aws/`."""
        url_id = public.removeprefix("https://").split(".", 1)[0]
        return f"{self.url}/_aws/lambda-url/{url_id}/"


def start(ending: ExitStack, port: int, scratch: Path, log: Path) -> Emulator:
    """Starts an emulator that ends together with `ending`. All it writes goes to the scratch folder."""
    url = f"http://127.0.0.1:{port}"
    command = [str(VENV / "bin" / "ministack")]
    server = serve(ending, "the AWS emulator", command, log, _environment(port, scratch))
    server.wait_until(lambda: _answers(f"{url}/_ministack/ready"))
    return Emulator(url, server.pid)


def _environment(port: int, scratch: Path) -> dict[str, str]:
    """Built from nothing, since the functions inherit it: no proxy, no profile and no region of whoever runs this."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "S3_DATA_DIR": str(scratch / "s3"),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AUTH": "true",
        "CLOUDTRAIL_RECORDING": "1",
        **ROOT_KEY,
        # Where there is a Docker engine it would pull and start the real runner image. It shall not find it.
        "DOCKER_HOST": f"unix://{scratch}/no-docker-here.sock",
        # Listeners on fixed ports, of services that are not used.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }


def _answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
