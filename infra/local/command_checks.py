"""Follows a user from nothing to a fleet that works and back to nothing, with the command `jitgate` alone.

GitHub's pages are clicked in a real browser where there is one.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import command
import deployment
import emulator
import github_pages
import inventory
import quirks
import snapshots
import standin
from checkout import LOGS, STATE, TESTS
from checks import Checks
from command import Command, Result, Run
from emulator import Emulator
from inventory import Inventory
from processes import chosen_port, free_port
from stack import ORGANIZATION
from standin import StandIn
from terminal import heading, say

REPOSITORY = f"{ORGANIZATION}/octo-repo"
STACK = "jitgate"

NO_BROWSER = 3
"""The exit code of the browser's driver where there is no Chromium."""

JOB_PATIENCE_SECONDS = 30
"""How long a job may take from its delivery to its end."""


@dataclass
class Scene:
    """An AWS account, a GitHub, and a user with the command."""

    aws: Emulator
    github: StandIn
    command: Command
    code: list[str]

    @property
    def zips(self) -> Path:
        """The folder with the functions' zips."""
        return Path(self.code[self.code.index("--zips") + 1])

    def setup(self, *more: str) -> list[str]:
        """The arguments of `setup` for this scene."""
        # For reports the App is asked for one permission more.
        reports = ("--set", "ReportToGitHub=checks")
        return [*command.setup(self.github.url, ORGANIZATION, self.code), *reports, *more]


@contextmanager
def scene(binaries: dict[str, Path], name: str) -> Iterator[Scene]:
    """Sets the scene: an empty account, and a GitHub without Apps."""
    with ExitStack() as ending:
        STATE.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=STATE))
        ending.callback(shutil.rmtree, scratch, ignore_errors=True)
        aws = emulator.start(ending, chosen_port("EMULATOR_PORT"), scratch, LOGS / name / "emulator.log")
        port, log = chosen_port("GITHUB_PORT"), LOGS / name / "standin.log"
        github = standin.start_empty(ending, binaries["standin"], aws, ORGANIZATION, REPOSITORY, port, log)
        # The checks run one command after the other, more of them a minute than any user.
        github.behave(points_a_minute=100_000)
        user = command.for_user(binaries["jitgate"], aws, scratch / "home")
        yield Scene(aws, github, user, command.code(binaries, scratch))


def check(binaries: dict[str, Path], checks: Checks) -> None:
    """Sets a fleet up, compares it with the one that the template makes, runs a job, and removes everything."""
    if not has_browser():
        return
    import cost_checks
    import doctor_checks
    import wheel_checks
    import why_checks

    with scene(binaries, "command") as there:
        heading("`jitgate setup`, from nothing")
        began = time.monotonic()
        done = set_up(there)
        checks.that("it ends well", done.code == 0, f"{done.code}\n{done.text}")
        if done.code != 0:
            return
        snapshots.check(checks, "setup", done)
        say(f"  it took {time.monotonic() - began:.0f} s")
        checks.that(
            "all is verified", all(each["outcome"] == "good" for each in done.json["checks"]), done.json["checks"]
        )
        _same_resources(there, _by_template(there, binaries), checks)
        quirks.adapt(there.aws, _outputs(there)["ClusterName"])
        _runs_a_job(there, checks)

        heading("`jitgate setup`, again")
        before = inventory.take(there.aws)
        again = there.command.run(*there.setup())
        checks.that("there is nothing left to do", again.json.get("steps") == ["install", "verify"], again.text)
        after = inventory.take(there.aws)
        checks.that("nothing is changed", before == after, inventory.differences(before, after))
        snapshots.check(checks, "setup-again", again)
        _keeps_a_receipt(there, checks)

        heading("`jitgate upgrade`")
        _upgrades(there, checks)

        cost_checks.check(there, checks)
        why_checks.check(there, checks)
        doctor_checks.check(there, checks)
        wheel_checks.check(there, there.zips, checks)
        cost_checks.check_long_log(there, checks)

        heading("`jitgate destroy`")
        _leaves_what_it_cannot_see(there, checks)
        _destroys(there, checks)


def set_up(there: Scene, *more: str) -> Result:
    """Runs `setup` and clicks where it says."""
    run = there.command.start(*there.setup(*more))
    click_through(run)
    return run.wait()


def click_through(run: Run) -> None:
    """Creates and installs the App as `setup` asks, unless that is done."""
    github_pages.follow(run, click_create, lambda page: browse(page, "click", "Install"))


def click_create(page: str) -> None:
    """Creates the App."""
    browse(page, "click", "Create GitHub App", "see", "Go back to the terminal")


def browse(url: str, *steps: str) -> dict[str, Any]:
    """Drives the browser and returns the last page."""
    driver = ["node", str(TESTS / "browser" / "drive.mjs"), url, *steps]
    done = subprocess.run(driver, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the browser failed at {url}: {done.stderr}{done.stdout}")
    page: dict[str, Any] = json.loads(done.stdout)
    return page


def has_browser() -> bool:
    """Whether there is a browser. `BROWSER=required` makes its lack an error."""
    driver = ["node", str(TESTS / "browser" / "drive.mjs"), "about:blank"]
    if subprocess.run(driver, capture_output=True, check=False).returncode != NO_BROWSER:
        return True
    if os.environ.get("BROWSER") == "required":
        raise RuntimeError("BROWSER=required, but there is no Chromium")
    say("  skipped: there is no Chromium to click GitHub's pages with")
    return False


def _outputs(there: Scene) -> dict[str, str]:
    [stack] = there.aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def _by_template(there: Scene, binaries: dict[str, Path]) -> Inventory:
    """What the template makes by itself in another account, with the parameters that have no default."""
    with ExitStack() as ending:
        scratch = Path(tempfile.mkdtemp(dir=STATE))
        ending.callback(shutil.rmtree, scratch, ignore_errors=True)
        aws = emulator.start(ending, free_port(), scratch, LOGS / "command" / "emulator-by-template.log")
        parameters = {**deployment.network(aws), "GitHubApiUrl": there.github.url, "ReportToGitHub": "checks"}
        deployment.deploy(aws, binaries, parameters)
        return inventory.take(aws)


def _same_resources(there: Scene, by_template: Inventory, checks: Checks) -> None:
    found = inventory.take(there.aws)
    # The secret is filled in by now.
    differences = [line for line in inventory.differences(found, by_template) if not line.startswith("secret: lengths")]
    checks.that("it deploys what the template deploys by itself", not differences, "\n".join(differences))


def _runs_a_job(there: Scene, checks: Checks) -> None:
    created = there.github.queue_job("build", ["fargate"], 0, repository=REPOSITORY)
    deadline = time.monotonic() + JOB_PATIENCE_SECONDS
    while True:
        [job] = [job for job in there.github.state()["jobs"] if job["id"] == created["job_id"]]
        if job["conclusion"] or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    checks.that("a job that GitHub delivers becomes a task and succeeds", job["conclusion"] == "success", job)


def _upgrades(there: Scene, checks: Checks) -> None:
    plan = there.command.run("upgrade", *there.code, "--set", "MaxRunners=7", "--plan")
    changed = {change["resource"] for change in plan.json.get("changes", [])}
    checks.that("--plan names the function that a parameter changes", "WorkerFunction" in changed, plan.text)
    snapshots.check(checks, "upgrade-plan", plan)
    checks.that("and changes nothing", _parameter(there, "MaxRunners") != "7", _parameter(there, "MaxRunners"))
    done = there.command.run("upgrade", "--yes", *there.code, "--set", "MaxRunners=7")
    checks.that(
        "without it, the parameter has its new value", _parameter(there, "MaxRunners") == "7" and done.code == 0, done
    )
    snapshots.check(checks, "upgrade", done)
    nothing = there.command.run("upgrade", "--yes", *there.code)
    snapshots.check(checks, "upgrade-of-nothing", nothing)
    checks.that("other parameters keep theirs", _parameter(there, "GitHubApiUrl") == there.github.url, done.text)


def _parameter(there: Scene, name: str) -> str:
    [stack] = there.aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}.get(name, "")


def _keeps_a_receipt(there: Scene, checks: Checks) -> None:
    """It tells what there is, without a secret, to this user alone."""
    [file] = (there.command.home / ".local" / "state" / "jitgate").glob("*.json")
    receipt = json.loads(file.read_text())
    [app] = there.github.apps()
    [bucket] = [bucket["Name"] for bucket in there.aws.client("s3").list_buckets()["Buckets"]]
    kept = {name: receipt[name] for name in ("stack", "bucket", "app_id", "app_slug", "owner")}
    wanted = {
        "stack": STACK,
        "bucket": bucket,
        "app_id": str(app["id"]),
        "app_slug": app["slug"],
        "owner": ORGANIZATION,
    }
    checks.that("the receipt has stack, bucket and App", kept == wanted, receipt)
    checks.that(
        "and the steps that were done", {"create-stack", "make-app", "verify"} <= set(receipt["steps"]), receipt
    )
    checks.that("it is for this user alone", file.stat().st_mode & 0o777 == 0o600, oct(file.stat().st_mode))


def _leaves_what_it_cannot_see(there: Scene, checks: Checks) -> None:
    """An owner has suspended the App while a runner is there: GitHub does not show whether it is busy."""
    before = _tasks(there)
    there.github.queue_job("build", ["fargate"], 0, repository=REPOSITORY, fate="slow")
    task = _until(lambda: [each for each in _tasks(there) if each not in before])[0]
    [app] = there.github.apps()
    [installation] = app["installations"]
    there.github.suspend(installation["id"])
    done = there.command.run("destroy", "--yes", "--no-browser", "--running", "wait")
    checks.that(
        "a task whose registration GitHub does not show is left, and named with the reason",
        done.code == 3 and task in done.text and "suspended" in done.text and task in _tasks(there),
        f"{done.code}\n{done.text}",
    )
    checks.that("and so is all that it needs", "ClusterName" in _outputs(there), done.json)
    snapshots.check(checks, "destroy-unseen", done)
    there.github.unsuspend(installation["id"])
    # The command has closed the webhook, so that no further job comes. One more shall come.
    functions = there.aws.client("lambda")
    [webhook] = [
        each["FunctionName"] for each in functions.list_functions()["Functions"] if "Webhook" in each["FunctionName"]
    ]
    functions.delete_function_concurrency(FunctionName=webhook)


def _tasks(there: Scene) -> list[str]:
    arns: list[str] = there.aws.client("ecs").list_tasks(cluster=_outputs(there)["ClusterName"])["taskArns"]
    return arns


def _until(found: Callable[[], Any]) -> Any:
    """Waits until something is found or true, for `JOB_PATIENCE_SECONDS` at most."""
    deadline = time.monotonic() + JOB_PATIENCE_SECONDS
    while not (some := found()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return some


def _destroys(there: Scene, checks: Checks) -> None:
    plan = there.command.run("destroy", "--plan")
    checks.that(
        "--plan lists stack, bucket and App", len(plan.json.get("removed", [])) >= 3 and plan.code == 0, plan.text
    )
    snapshots.check(checks, "destroy-plan", plan)
    checks.that("and removes nothing", "ClusterName" in _outputs(there), plan.text)
    there.github.queue_job("build", ["fargate"], 0, repository=REPOSITORY)
    # Its runner may take the other job, which has the same labels.
    busy = _until(lambda: [job for job in there.github.state()["jobs"] if job["status"] == "in_progress"])
    run = there.command.start("destroy", "--yes", "--no-browser", "--running", "wait")
    page = run.until(r"Open in a browser (\S+/advanced)|^error")
    if page is not None and page[1] is not None:
        app = page[1].split("/")[-2]
        confirmation = ("fill", "Please type in the name", app)
        button = "I understand the consequences, delete this GitHub App"
        browse(page[1], "click", "Delete GitHub App", *confirmation, "click", button)
    done = run.wait()
    checks.that("it ends well", done.code == 0, f"{done.code}\n{done.text}")
    snapshots.check(checks, "destroy", done)
    ids = {job["id"] for job in busy}
    ended = [job["conclusion"] for job in there.github.state()["jobs"] if job["id"] in ids]
    checks.that("a job that ran meanwhile came to its end", ended == ["success"], ended)
    checks.that("it finds nothing left", done.json.get("left") == [], done.json)
    stacks = there.aws.client("cloudformation").list_stacks()["StackSummaries"]
    left = [stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"]
    checks.that("no stack is left", not left, left)
    buckets = [bucket["Name"] for bucket in there.aws.client("s3").list_buckets()["Buckets"]]
    checks.that("no bucket is left", not buckets, buckets)
