"""Lets every call that `jitgate setup` makes fail, and a policy deny each. Which calls these are, a recorded run tells.

Each time, it has to end with one App, one stack and one secret, by itself or when it is run again.
"""

import json
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aws_wire
import github_pages
from aws_wire import Fault, Wire
from checks import Checks
from command import Result
from command_checks import STACK, Scene, scene
from standin import http
from terminal import heading

FAULTS: list[tuple[Fault, Any]] = [
    (Fault.ERROR, {"refuse": 502}),
    (Fault.THROTTLED, "drop"),
    (Fault.CUT, {"refuse": 503}),
    (Fault.LOST, "lose-answer"),
]
"""What happens to the first call of each operation: of AWS's, and of GitHub's."""

CONVERSION = "convert-manifest"

LOST_FOR_EVER = {CONVERSION}
"""GitHub's calls whose lost answer nothing brings back: the App's key is in it, once. The last trials are about it."""

TOLERATED = {
    "cloudformation:DescribeStackEvents": "the events only explain",
    "servicequotas:GetServiceQuota": "nobody has to be permitted to read quotas",
}
"""Calls that `setup` goes on without. They are denied throughout."""

ALWAYS_ALLOWED = {"sts:GetCallerIdentity"}
"""No policy denies this call. Source: AWS's STS API reference."""

UPDATE = ["--set", "MaxRunners=9"]
"""What makes `setup` update the stack that is there."""

USER, POLICY = "newcomer", "all-but-some"


def check(binaries: dict[str, Path], checks: Checks) -> None:
    """Runs all trials."""
    with _trial(binaries, "recorded") as (there, wire):
        heading("`jitgate setup`, and what it calls")
        done = _set_up(there)
        checks.that("it ends well", done.code == 0, f"{done.code}\n{done.text}")
        permissions, operations = wire.permissions(), there.github.operations()
        _leave_old_code(there)
        done = _set_up(there, *UPDATE)
        checks.that("so does an update", done.code == 0, f"{done.code}\n{done.text}")
        of_update = [each for each in wire.permissions() if each not in permissions]
        unknown = [each for each in [*permissions, *of_update] if " " in each]
        counted = (
            f"{len(permissions)} operations of AWS, {len(of_update)} more for an update, {len(operations)} of GitHub"
        )
        checks.that(f"they call {counted}", not unknown, unknown)
        heading("`jitgate setup`, when somebody interferes")
        _a_foreign_bucket(there, wire, checks)
        _codes(there, checks)
    heading("`jitgate setup`, when the first call of each operation fails")
    for fault, of_github in FAULTS:
        with _trial(binaries, f"fault-{fault.name.lower()}") as (there, wire):
            wire.fail_each_once(fault)
            for operation in operations:
                if of_github != "lose-answer" or operation not in LOST_FOR_EVER:
                    there.github.fail(operation, of_github)
            limit = len(permissions) + len(of_update) + len(operations)
            runs = _until_done(there, limit)
            _leave_old_code(there)
            runs += _until_done(there, limit, *UPDATE)
            told = all("\nTo do: " in run.text for run in runs if run.code != 0)
            checks.that(
                f"{fault.value}: run {len(runs)} times, it ends well, and says each time what to do",
                runs[-1].code == 0 and told,
                "\n\n".join(f"{run.code}\n{run.text}" for run in runs),
            )
            missed = {*permissions, *of_update} - wire.failed()
            checks.that("it happened to each operation", not missed, missed)
            one_of_each(there, checks)
    heading("`jitgate setup`, when a policy denies a call")
    with _trial(binaries, "denied") as (there, _):
        _denied(there, permissions, of_update, checks)


@contextmanager
def _trial(binaries: dict[str, Path], name: str) -> Iterator[tuple[Scene, Wire]]:
    """A scene in which the command's calls of AWS can be made to fail."""
    with scene(binaries, name) as there, ExitStack() as ending:
        wire = aws_wire.start(ending, there.aws)
        yield replace(there, command=replace(there.command, aws_url=wire.url)), wire


def _set_up(there: Scene, *more: str, **environment: str) -> Result:
    run = there.command.start(*there.setup(*more), **environment)
    github_pages.follow(run)
    return run.wait()


def _until_done(there: Scene, limit: int, *more: str) -> list[Result]:
    """Runs `setup` until it ends well."""
    runs = [_set_up(there, *more)]
    while runs[-1].code != 0 and len(runs) < limit:
        runs.append(_set_up(there, *more))
    return runs


def _leave_old_code(there: Scene) -> None:
    """Puts code into the bucket that no version needs any more, so that an update removes it."""
    s3 = there.aws.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        s3.put_object(Bucket=bucket["Name"], Key="old.zip", Body=b"old")


def one_of_each(there: Scene, checks: Checks) -> None:
    """Checks that nothing was made twice."""
    apps = there.github.apps()
    checks.that("there is one App, installed once", [len(app["installations"]) for app in apps] == [1], apps)
    stacks = [
        stack["StackName"]
        for stack in there.aws.client("cloudformation").list_stacks()["StackSummaries"]
        if stack["StackStatus"] != "DELETE_COMPLETE"
    ]
    checks.that("there is one stack of each kind", sorted(stacks) == [STACK, f"{STACK}-code"], stacks)
    store = there.aws.client("secretsmanager")
    secrets = [secret["ARN"] for secret in store.list_secrets()["SecretList"]]
    held = [json.loads(store.get_secret_value(SecretId=secret)["SecretString"])["app_id"] for secret in secrets]
    checks.that("the one secret holds that App", held == [str(app["id"]) for app in apps], held)


def all_but(*calls: str) -> str:
    """A policy that allows everything else."""
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": list(calls), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow, deny] if calls else [allow]})


def newcomer(there: Scene) -> dict[str, str]:
    """Makes a user for the policies, and returns the variables that sign in."""
    iam = there.aws.client("iam")
    iam.create_user(UserName=USER)
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def open_buckets(there: Scene) -> None:
    """A bucket refuses whoever comes without TLS, as everybody comes to the emulator; only root is let in."""
    s3 = there.aws.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        s3.delete_bucket_policy(Bucket=bucket["Name"])


def _denied(there: Scene, permissions: list[str], of_update: list[str], checks: Checks) -> None:
    """Denies one call after the other, in the order of runs that succeed: each run gets as far as the next."""
    iam, signed_in = there.aws.client("iam"), newcomer(there)

    def run(*calls: str, more: list[str]) -> Result:
        policy = all_but(*calls, *TOLERATED)
        iam.put_user_policy(UserName=USER, PolicyName=POLICY, PolicyDocument=policy)
        return _set_up(there, *more, **signed_in)

    def deny(call: str, more: list[str]) -> None:
        done = run(call, more=more)
        checks.that(
            f"{call}: the error names it and says what to do",
            done.code == 1 and call in done.text and "\nTo do: let whoever" in done.text,
            f"{done.code}\n{done.text}",
        )
        open_buckets(there)

    def allow(more: list[str]) -> None:
        done = run(more=more)
        checks.that(f"with all but {', '.join(TOLERATED)} it ends well", done.code == 0, f"{done.code}\n{done.text}")

    for call in permissions:
        if call not in TOLERATED and call not in ALWAYS_ALLOWED:
            deny(call, [])
    allow([])
    for number, call in enumerate(of_update):
        _leave_old_code(there)
        deny(call, ["--set", f"MaxRunners={number + 10}"])
    allow(UPDATE)
    one_of_each(there, checks)


def _a_foreign_bucket(there: Scene, wire: Wire, checks: Checks) -> None:
    """A bucket of the name that the user gives is somebody else's, who lets everybody in."""
    theirs = "code-of-somebody-else"
    there.aws.client("s3").create_bucket(Bucket=theirs)
    wire.foreign.add(theirs)
    done = there.command.run(*there.setup("--code-bucket", theirs, "--set", "MaxRunners=8"))
    checks.that(
        "somebody else's bucket is refused by its name, with what to do",
        done.code == 1 and theirs in done.text and "account's own" in done.text,
        f"{done.code}\n{done.text}",
    )
    held = there.aws.client("s3").list_objects_v2(Bucket=theirs).get("Contents", [])
    checks.that("and gets nothing", not held, held)


def _codes(there: Scene, checks: Checks) -> None:
    """Somebody else meddles with GitHub's way back, or the code is good for nothing any more."""
    [ours] = there.github.apps()
    store = there.aws.client("secretsmanager")
    [secret] = store.list_secrets()["SecretList"]
    before = store.get_secret_value(SecretId=secret["ARN"])["SecretString"]
    emptied = {"app_id": "", "private_key": "", "webhook_secret": "made by the stack"}
    store.put_secret_value(SecretId=secret["ARN"], SecretString=json.dumps(emptied))

    run = there.command.start(*there.setup())
    page = run.until(r"Open in a browser (http\S+/)$|^error")
    assert page is not None and page[1] is not None, "\n".join(run.lines)
    address = github_pages.create_elsewhere(page[1])
    callback = urllib.parse.urlsplit(address)
    forged = callback._replace(query="code=forged&state=guessed").geturl()
    answers = [
        http("GET", forged).status,
        http("GET", address, headers={"host": "evil.example"}).status,
        http("GET", page[1], headers={"host": "evil.example"}).status,
    ]
    checks.that("a wrong state and a foreign Host are refused", answers == [400, 403, 403], answers)
    [code] = urllib.parse.parse_qs(callback.query)["code"]
    taken = there.github.convert(code)
    checks.that("GitHub takes the code once, here from somebody else", taken == 201, taken)
    http("GET", address)
    done = run.wait()
    _is_told(done, "a code that was used", checks)

    there.github.fail(CONVERSION, {"refuse": 404})
    _is_told(_set_up(there), "a code that is too old", checks)

    there.github.fail(CONVERSION, "lose-answer")
    _is_told(_set_up(there), "a key that was lost on its way", checks)

    for app in there.github.apps():
        if app["id"] != ours["id"]:
            there.github.delete_app(app["slug"])
    store.put_secret_value(SecretId=secret["ARN"], SecretString=before)
    done = _set_up(there)
    checks.that("with the App's key back in its place, all is well", done.code == 0, f"{done.code}\n{done.text}")
    one_of_each(there, checks)


def _is_told(done: Result, what: str, checks: Checks) -> None:
    checks.that(
        f"{what}: the error says to delete the App and to begin again",
        done.code == 1 and "run the command again, and delete the App" in done.text,
        f"{done.code}\n{done.text}",
    )
