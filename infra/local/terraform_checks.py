"""Whether infra/terraform deploys what template.yaml does, changes nothing that is right, and leaves nothing."""

import json

import inventory
import quirks
from checks import Checks
from inventory import Inventory
from stack import Stack
from terminal import heading, say


def same(by_template: Inventory, by_terraform: Inventory, checks: Checks) -> None:
    """The two deployments, held against each other."""
    found = inventory.differences(by_template, by_terraform)
    excused = [line for line in found if any(line.startswith(place) for place in quirks.NOT_PARITY)]
    for line in excused:
        [why] = {why for place, why in quirks.NOT_PARITY.items() if line.startswith(place)}
        say(f"  (the emulator: {why})")
    checks.that(
        f"the template and Terraform deploy the same, in {len(by_template)} things",
        found == excused,
        "".join(f"\n      {line[:1000]}" for line in found if line not in excused) + "\n      (template / Terraform)",
    )


def run(stack: Stack, checks: Checks) -> None:
    """After the story was told on a stack that Terraform deployed: plan, and destroy."""
    heading("Terraform, afterwards")
    secrets = stack.aws.client("secretsmanager")
    secret = json.loads(secrets.get_secret_value(SecretId=stack.deployed.secret_arn)["SecretString"])
    state = stack.applied.state()
    told = [key for key, value in secret.items() if value in state or json.dumps(value)[1:-1] in state]
    told += [] if stack.made_secret not in state else ["the webhook secret that was made"]
    checks.that("nothing of the secret lies in the state", told == [], told)

    quirks.undo(stack.aws)
    changes = stack.applied.plan()
    for kind, why in quirks.NOT_A_CHANGE.items():
        excused = sum(f".{kind}." in change["address"] for change in changes if quirks.causes(change))
        say(f"  (the emulator, {excused} times {kind}: {why})")
    unexplained = [change for change in changes if not quirks.causes(change)]
    checks.that("a plan after all that would change nothing", unexplained == [], unexplained)

    stack.applied.destroy()
    left = inventory.take(stack.aws)
    checks.that("destroy leaves nothing", left == {}, left)
