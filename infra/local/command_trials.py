"""What may go wrong with the command `jitgate`: it is killed, its App's key cannot be stored, it is called wrongly.

Each time, running it again has to end with one App, one stack and one secret.
"""

import json
import subprocess
from pathlib import Path

import snapshots
from checks import Checks
from command_checks import ORGANIZATION, Scene, browse, click_create, click_through, has_browser, scene, set_up
from command_faults import POLICY, USER, all_but, newcomer, one_of_each, open_buckets
from terminal import heading

KILLED_AT = [
    "looked at what is there",
    "service-linked role is there",
    "stack jitgate-code: CREATE_COMPLETE",
    "the code is in bucket",
    r"creating stack jitgate …",
    "stack jitgate: CREATE_COMPLETE",
    "the secret can be written",
    "waiting for GitHub to make the App",
    "its key is in Secrets Manager",
    "waiting until the App is installed",
    "the App is installed",
    "an unsigned delivery is refused",
    "a signed ping is taken",
    "so both know one secret",
]
"""Lines of `setup`, in order. The command is killed at each, and begun anew."""


def check(binaries: dict[str, Path], checks: Checks) -> None:
    """Runs all trials."""
    if not has_browser():
        return
    with scene(binaries, "trials") as there:
        heading("`jitgate setup`, killed at each step")
        _killed(there, checks)
        heading("`jitgate setup`, with an App that exists")
        _given(there, checks)
        heading("`jitgate setup`, when the App's key cannot be stored")
        _stranded(there, checks)
        heading("What the user may get wrong")
        _wrong(there, checks)
        heading("`jitgate app`")
        _replaces_the_app(there, checks)


def _killed(there: Scene, checks: Checks) -> None:
    made_at = KILLED_AT.index("its key is in Secrets Manager")
    for step, line in enumerate(KILLED_AT):
        run = there.command.start(*there.setup())
        # The emulator is quick: a step may be done although the command was killed when it began.
        found = run.until(
            rf"{line}|Open in a browser (http\S+/)$|Open in a browser (\S+/installations/new)|^error|is ready"
        )
        if found is not None and found[1] is not None and step >= made_at:
            click_create(found[1])
            found = run.until(rf"{line}|^error|is ready")
        elif found is not None and found[2] is not None:
            browse(found[2], "click", "Install")
            found = run.until(rf"{line}|^error|is ready")
        run.kill()
        checks.that(f"killed at {line!r}", found is not None and "error" not in found[0], "\n".join(run.lines))
    done = set_up(there)
    checks.that("begun anew, it ends well", done.code == 0, f"{done.code}\n{done.text}")
    one_of_each(there, checks)


def _given(there: Scene, checks: Checks) -> None:
    """Somebody empties the secret, and has the App's key in a file."""
    store = there.aws.client("secretsmanager")
    [secret] = store.list_secrets()["SecretList"]
    before = json.loads(store.get_secret_value(SecretId=secret["ARN"])["SecretString"])
    emptied = {"app_id": "", "private_key": "", "webhook_secret": "another one"}
    store.put_secret_value(SecretId=secret["ARN"], SecretString=json.dumps(emptied))
    key = there.command.home / "app.pem"
    key.write_text(before["private_key"])
    done = there.command.run(*there.setup("--app-id", str(before["app_id"]), "--private-key", str(key)))
    checks.that("its id and key are stored, and its webhook leads here", done.code == 0, f"{done.code}\n{done.text}")
    after = json.loads(store.get_secret_value(SecretId=secret["ARN"])["SecretString"])
    checks.that("the stack's webhook secret stays, and GitHub has it now", after["webhook_secret"] == "another one", "")
    checks.that("no other App was made", len(there.github.apps()) == 1, there.github.apps())


def _stranded(there: Scene, checks: Checks) -> None:
    """The secret can be written at the rehearsal, and cannot any more when GitHub has made the App."""
    [old] = there.github.apps()
    signed_in = newcomer(there)
    open_buckets(there)
    iam, store = there.aws.client("iam"), there.aws.client("secretsmanager")
    [secret] = store.list_secrets()["SecretList"]
    emptied = {"app_id": "", "private_key": "", "webhook_secret": "made by the stack"}
    store.put_secret_value(SecretId=secret["ARN"], SecretString=json.dumps(emptied))
    iam.put_user_policy(UserName=USER, PolicyName=POLICY, PolicyDocument=all_but())
    run = there.command.start(*there.setup(), **signed_in)
    page = run.until(r"Open in a browser (http\S+/)$|^error")
    assert page is not None and page[1] is not None, "\n".join(run.lines)
    iam.put_user_policy(UserName=USER, PolicyName=POLICY, PolicyDocument=all_but("secretsmanager:PutSecretValue"))
    click_create(page[1])
    done = run.wait()
    [file] = (there.command.home / ".local" / "state" / "jitgate").glob("*.app.json")
    checks.that(
        "an App whose key cannot be stored is kept in a file for this user alone",
        done.code == 1 and str(file) in done.text and file.stat().st_mode & 0o777 == 0o600,
        f"{done.code}\n{done.text}",
    )
    iam.put_user_policy(UserName=USER, PolicyName=POLICY, PolicyDocument=all_but())
    run = there.command.start(*there.setup(), **signed_in)
    click_through(run)
    done = run.wait()
    checks.that("the next run stores it and deletes the file", done.code == 0 and not file.exists(), done.text)
    [new] = [app for app in there.github.apps() if app["id"] != old["id"]]
    value = json.loads(store.get_secret_value(SecretId=secret["ARN"])["SecretString"])
    checks.that("the secret holds that App", str(value["app_id"]) == str(new["id"]), value["app_id"])


def _wrong(there: Scene, checks: Checks) -> None:
    shown = subprocess.run([there.command.binary, "--help"], capture_output=True, text=True, check=True).stdout
    checks.that("`jitgate --help` lists the commands", "destroy" in shown and "Exit codes" in shown, shown)
    told = []
    for wrong, code, says, environment in [
        (["setup", "--org", ORGANIZATION, *there.code, "--set", "MaxRunners=1"], 2, "no terminal", {}),
        (["setup", "--org", ORGANIZATION, *there.code, "--set", "MaxRunner=1"], 2, "no parameter MaxRunner", {}),
        (["upgrade", "--yes", "--stack", "other", *there.code], 1, "there is no stack other", {}),
        (["upgrade", "--yes", "--set", "MaxRunners=1", "--zips", "/nowhere"], 1, "/nowhere/webhook-x86_64.zip", {}),
        (
            ["setup", "--yes", "--personal", "--stack", "new", "--subnets", "subnet-x", *there.code],
            2,
            "subnet-x is no subnet",
            {},
        ),
        (["app", "--yes", "--org", ORGANIZATION], 2, "add --replace", {}),
        (["setup", "--yes"], 4, "To do: sign in", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}),
        (["setup", "--yes"], 3, "To do: check the network", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}),
    ]:
        done = there.command.run(*wrong, **environment)
        checks.that(
            f"`jitgate {' '.join(wrong[:2])} …`: {says}",
            done.code == code and says in done.text,
            f"{done.code}\n{done.text}",
        )
        told.append(f"$ jitgate {' '.join(wrong)}\n{snapshots.words_of(done)}")
    snapshots.check_text(checks, "errors", "\n\n".join(told))
    checks.that("no run left a further App", len(there.github.apps()) == 2, there.github.apps())


def _replaces_the_app(there: Scene, checks: Checks) -> None:
    """The key of the App is lost, say, and there has to be another."""
    before = {app["id"] for app in there.github.apps()}
    run = there.command.start("app", "--yes", "--no-browser", "--org", ORGANIZATION, "--replace")
    click_through(run)
    done = run.wait()
    checks.that("another App is made, installed and verified", done.code == 0, f"{done.code}\n{done.text}")
    snapshots.check(checks, "app", done)
    made = [app for app in there.github.apps() if app["id"] not in before]
    store = there.aws.client("secretsmanager")
    [secret] = store.list_secrets()["SecretList"]
    value = json.loads(store.get_secret_value(SecretId=secret["ARN"])["SecretString"])
    checks.that("the secret holds it", [str(app["id"]) for app in made] == [str(value["app_id"])], value["app_id"])
