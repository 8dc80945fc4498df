"""Starts the GitHub stand-in, and is a client of its control API.

The program itself is `tests/src/bin/standin`. It answers as GitHub's API does, sends signed deliveries, and acts as
the runner of each task in the emulator.
"""

import json
import os
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployment import Deployment
from emulator import REGION, ROOT_KEY, Emulator
from processes import serve

JOB_SECONDS = 2
"""How long a job runs: long enough to show that it is in progress."""

PAGES = {"see-page", "send-form"}
"""The stand-in's names for what a browser asks for, which is no call of the API."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: str

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True)
class App:
    """The GitHub App with the values that jitgate and the stand-in share."""

    app_id: str
    private_key: str
    public_key_file: Path
    webhook_secret: str


@dataclass(frozen=True)
class StandIn:
    """A running stand-in."""

    url: str
    pid: int

    def queue_job(self, name: str, labels: list[str], example: int, **trouble: Any) -> dict[str, Any]:
        """Creates a job, for which GitHub delivers `queued`. Returns the job's id and the webhook's answer.
        `tests/src/bin/standin/control.rs` lists the kinds of `trouble`."""
        return self._post("jobs", {"name": name, "labels": labels, "example": example, **trouble})

    def cancel_job(self, job: int) -> None:
        """Cancels a job, for which GitHub delivers `completed`."""
        self._post("cancellations", {"job_id": job})

    def register_runner(self, name: str, labels: list[str]) -> None:
        """Adds the registration of a runner that was online and is offline again."""
        self._post("runners", {"name": name, "labels": labels, "status": "offline"})

    def apps(self) -> list[dict[str, Any]]:
        """All Apps, with their installations."""
        return self._get("apps")["apps"]

    def fail(self, operation: str, fault: Any, times: int = 1) -> None:
        """Lets the next calls of an operation fail. `tests/src/bin/standin/apps.rs` lists the kinds."""
        self._post("faults", {"operation": operation, "fault": fault, "times": times})

    def heal(self) -> None:
        """Lets no further call fail."""
        self._send("DELETE", "faults")

    def calls(self) -> list[dict[str, Any]]:
        """GitHub's calls so far."""
        return self._get("calls")["calls"]

    def behave(self, **change: Any) -> None:
        """Changes how GitHub is. `tests/src/bin/standin/oddities.rs` lists what can be changed."""
        self._send("PATCH", "behaviour", change)

    def add_group(self, name: str, selected: list[str]) -> int:
        """Adds a runner group that admits only these repositories. Returns its id."""
        group: int = self._post("groups", {"name": name, "selected": selected})["id"]
        return group

    def remove_group(self, group: int) -> None:
        """Deletes a runner group."""
        self._send("DELETE", f"groups/{group}")

    def suspend(self, installation: int) -> None:
        """Suspends an installation."""
        self._send("PUT", f"suspensions/{installation}")

    def unsuspend(self, installation: int) -> None:
        """Ends a suspension."""
        self._send("DELETE", f"suspensions/{installation}")

    def ask_for(self, app: str, permissions: dict[str, str]) -> None:
        """Changes what an App asks for."""
        self._send("PATCH", f"apps/{app}", {"permissions": permissions})

    def operations(self) -> list[str]:
        """The operations of the API that were called so far."""
        called = dict.fromkeys(call["operation"] for call in self._get("calls")["calls"])
        return [operation for operation in called if operation not in PAGES]

    def convert(self, code: str) -> int:
        """Exchanges a manifest's code for an App, and returns the answer's status."""
        return http("POST", f"{self.url}/app-manifests/{code}/conversions", b"").status

    def delete_app(self, slug: str) -> None:
        """Deletes an App as its owner does."""
        http("DELETE", f"{self.url}/_standin/apps/{slug}")

    def timeline(self) -> list[dict[str, Any]]:
        """All events so far, in order."""
        return self._get("timeline")["events"]

    def state(self) -> dict[str, Any]:
        """All jobs, registrations and check runs."""
        return self._get("state")

    def _get(self, path: str) -> Any:
        return http("GET", f"{self.url}/_standin/{path}").json()

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"content-type": "application/json"}
        answer = http(method, f"{self.url}/_standin/{path}", json.dumps(body or {}).encode(), headers)
        if answer.status not in (200, 201):
            raise RuntimeError(f"the stand-in refused {path}: {answer.status} {answer.body}")
        return answer.json()


def start(
    ending: ExitStack, binary: Path, port: int, app: App, aws: Emulator, deployment: Deployment, log: Path
) -> StandIn:
    """Starts a stand-in that stops when `ending` closes."""
    arguments = [
        *("--webhook-url", deployment.webhook_url),
        *("--webhook-secret-env", "JITGATE_WEBHOOK_SECRET"),
        *("--app-id", app.app_id),
        *("--app-public-key", str(app.public_key_file)),
        *("--cluster", deployment.cluster),
    ]
    return _serve(ending, binary, port, aws, log, arguments, JITGATE_WEBHOOK_SECRET=app.webhook_secret)


def start_empty(
    ending: ExitStack, binary: Path, aws: Emulator, organization: str, repository: str | None, port: int, log: Path
) -> StandIn:
    """Starts a stand-in without an App. Whoever makes one has deliveries sent to the emulator."""
    arguments = [
        *("--user", "monalisa"),
        *("--organization", organization),
        *(("--repository", repository) if repository is not None else ()),
        *("--webhook-via", aws.url),
    ]
    return _serve(ending, binary, port, aws, log, arguments)


def _serve(
    ending: ExitStack, binary: Path, port: int, aws: Emulator, log: Path, arguments: list[str], **secrets: str
) -> StandIn:
    command = [
        str(binary),
        *("--listen", f"127.0.0.1:{port}"),
        *("--aws-endpoint", aws.url),
        *("--job-seconds", str(JOB_SECONDS)),
        *arguments,
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "RUST_LOG": os.environ.get("RUST_LOG", "info"),
        "AWS_REGION": REGION,
        **secrets,
        **ROOT_KEY,
    }
    server = serve(ending, "the GitHub stand-in", command, log, environment)
    server.wait_until(lambda: "listening on" in log.read_text(errors="replace"))
    return StandIn(f"http://127.0.0.1:{port}", server.pid)


def http(method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    """Sends one request, without the environment's proxy. Any status is an answer."""
    request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return Answer(answer.status, answer.read().decode())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Answer(refusal.code, refusal.read().decode())
