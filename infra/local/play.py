"""A stack that keeps running between commands, to try things out."""

import hashlib
import hmac
import json
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

from checkout import STACK_FILE, STATE
from processes import end_group
from stack import LABELS, stack
from standin import http
from terminal import Problem, heading, paint, say


def up(binaries: dict[str, Path]) -> None:
    """Starts the stack, notes its processes in a file and leaves them running."""
    if STACK_FILE.exists():
        raise Problem("A stack is already running. `make down` stops it.")
    heading("Starting the stack")
    with stack(binaries, "up") as running:
        note = {
            "processes": {"standin": running.github.pid, "ministack": running.aws.pid},
            "webhook_url": running.deployed.webhook_url,
            "webhook_secret": running.webhook_secret,
        }
        STACK_FILE.write_text(json.dumps(note, indent=2))
        running.leave_running()
    labels = ", ".join(LABELS)
    job = json.dumps({"name": "by-hand", "labels": LABELS[:1], "example": 5})
    say(f"""
The stack is running; `make down` stops it.

{paint("Create a job", "bold")} (the GitHub stand-in delivers `queued`; the labels {labels} fit, alone or together):
  curl -H 'content-type: application/json' -d '{job}' {running.github.url}/_standin/jobs

{paint("Follow it", "bold")}:
  curl {running.github.url}/_standin/timeline
  curl {running.github.url}/_standin/state

{paint("Post a delivery by hand", "bold")} (signs a payload in a file with the stack's webhook secret):
  python3 infra/local deliver PAYLOAD.json

{paint("Look at the AWS side", "bold")} with any AWS client:
  export AWS_ENDPOINT_URL={running.aws.url} AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  aws logs tail /jitgate/jitgate/worker
""")


def down() -> None:
    """Stops the processes that `up` started."""
    note = _note()
    for program, pid in note["processes"].items():
        if program in _command_of(pid):
            end_group(pid)
    STACK_FILE.unlink()
    shutil.rmtree(STATE, ignore_errors=True)
    say("The stack is stopped.")


def deliver(payload: Path, event: str) -> None:
    """Signs a payload as GitHub does, posts it to the webhook and shows the answer."""
    note = _note()
    body = payload.read_bytes()
    signature = hmac.new(note["webhook_secret"].encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "content-type": "application/json",
        "x-github-event": event,
        "x-github-delivery": str(uuid.uuid4()),
        "x-hub-signature-256": f"sha256={signature}",
    }
    answer = http("POST", note["webhook_url"], body, headers)
    say(f"{answer.status} {answer.body}")


def _note() -> dict[str, Any]:
    if not STACK_FILE.exists():
        raise Problem("No stack is running. `make up` starts one.")
    return json.loads(STACK_FILE.read_text())


def _command_of(pid: int) -> str:
    """A process's command line, or nothing if it is gone. After a reboot, the id may belong to another program."""
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout
