"""The AWS emulator: ministack, on loopback, without Docker.

It runs `provided.al2023` functions as plain processes and passes its own `AWS_ENDPOINT_URL` on to them, so the template
is deployed as it is. It enforces the functions' IAM roles, so most missing permissions show here, too.
`template_checks.py` checks the permissions that it does not enforce.
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

# Any value works: the emulator treats the key in its own environment as the account's root key.
ROOT_KEY = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    url: str
    pid: int

    def client(self, service: str) -> Any:
        """Returns a client with the account's root key, which may do everything."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ROOT_KEY["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ROOT_KEY["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}, retries={"max_attempts": 1}, read_timeout=60),
        )

    def function_url(self, public: str) -> str:
        """Returns the emulator's URL for a function URL, `https://ID.lambda-url.REGION.on.aws/` on AWS."""
        url_id = public.removeprefix("https://").split(".", 1)[0]
        return f"{self.url}/_aws/lambda-url/{url_id}/"


def start(ending: ExitStack, port: int, scratch: Path, log: Path) -> Emulator:
    """Starts an emulator that stops when `ending` closes. It only writes to the scratch folder and the log."""
    url = f"http://127.0.0.1:{port}"
    command = [str(VENV / "bin" / "ministack")]
    server = serve(ending, "the AWS emulator", command, log, _environment(port, scratch))
    server.wait_until(lambda: _answers(f"{url}/_ministack/ready"))
    return Emulator(url, server.pid)


def _environment(port: int, scratch: Path) -> dict[str, str]:
    """Inherits only PATH, because the functions inherit this: no proxy, profile or region of the user's."""
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
        # With a Docker engine, it would pull and start the real runner image.
        "DOCKER_HOST": f"unix://{scratch}/no-docker-here.sock",
        # Unused services that listen on fixed ports.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }


def _answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
