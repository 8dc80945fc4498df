"""Checks that `make`, `make up` and `make down` work as the docs say."""

import json
import subprocess

from checkout import LOCAL, ROOT, STACK_FILE, TESTS
from checks import Checks
from terminal import paint, say

EXAMPLE = TESTS / "node_modules" / "@octokit" / "webhooks-examples" / "api.github.com" / "index.json"


def check(checks: Checks) -> None:
    """Types the commands, and those that `make up` prints. Leaves out `make up` if a stack is already running."""
    listed = _type("make")
    checks.that("`make` lists the commands", all(command in listed for command in ("demo", "test", "up")), listed)
    if STACK_FILE.exists():
        say("  (a stack is already running, so `make up` and `make down` are left out)")
        return
    try:
        printed = _type("make", "up")
        [job] = [line.strip() for line in printed.splitlines() if line.strip().startswith("curl -H")]
        answer = json.loads(_type("bash", "-c", f"{job} --silent --noproxy '*'"))
        checks.that("`make up` shows how to create a job, which is queued", answer["delivery"]["status"] == 202, answer)
        events = json.loads(EXAMPLE.read_text())
        payload = LOCAL / "payload.json"
        [examples] = [event["examples"] for event in events if event["name"] == "workflow_job"]
        payload.write_text(json.dumps(examples[0]))
        answer = _type("python3", "infra/local", "deliver", str(payload))
        checks.that("a delivery by hand is answered with 200", answer.startswith("200"), answer)
    finally:
        down = _type("make", "down")
    checks.that("`make down` stops it", "stopped" in down and not STACK_FILE.exists(), down)


def _type(*command: str) -> str:
    say(f"  {paint('$ ' + ' '.join(command), 'dim')}")
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )
    return done.stdout if done.returncode == 0 else f"ended with code {done.returncode}: {done.stderr}"
