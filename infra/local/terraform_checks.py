"""Checks that infra/terraform deploys what template.yaml does, is stable once applied, and can be destroyed."""

import json

import inventory
import quirks
from checks import Checks
from inventory import Inventory
from stack import Stack
from terminal import heading, say


def same(by_template: Inventory, by_terraform: Inventory, checks: Checks) -> None:
    """Compares the inventories of the two deployments."""
    found = inventory.differences(by_template, by_terraform)
    excused = [line for line in found if any(line.startswith(place) for place in quirks.NOT_PARITY)]
    for line in excused:
        [why] = {why for place, why in quirks.NOT_PARITY.items() if line.startswith(place)}
        say(f"  (caused by the emulator: {why})")
    checks.that(
        f"the template and Terraform deploy the same {len(by_template)} resources",
        found == excused,
        "".join(f"\n      {line[:1000]}" for line in found if line not in excused) + "\n      (template / Terraform)",
    )


def run(stack: Stack, checks: Checks) -> None:
    """Runs `plan` and `destroy` after the demo."""
    heading("Terraform after the demo")
    secrets = stack.aws.client("secretsmanager")
    secret = json.loads(secrets.get_secret_value(SecretId=stack.deployed.secret_arn)["SecretString"])
    state = stack.applied.state()
    leaked = [key for key, value in secret.items() if value in state or json.dumps(value)[1:-1] in state]
    leaked += [] if stack.made_secret not in state else ["the generated webhook secret"]
    checks.that("Terraform's state contains nothing of the secret", leaked == [], leaked)

    quirks.undo(stack.aws)
    changes = stack.applied.plan()
    for kind, why in quirks.NOT_A_CHANGE.items():
        excused = sum(f".{kind}." in change["address"] for change in changes if quirks.causes(change))
        say(f"  (caused by the emulator, {excused} times for {kind}: {why})")
    unexplained = [change for change in changes if not quirks.causes(change)]
    checks.that("a plan shows no change", unexplained == [], unexplained)

    stack.applied.destroy()
    left = inventory.take(stack.aws)
    checks.that("destroy leaves nothing", left == {}, left)
