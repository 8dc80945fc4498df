"""Paths in the checkout. The local stack only writes below `.local/`, so deleting that folder removes all of it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"
MODULE = ROOT / "infra" / "terraform"
TESTS = ROOT / "tests"

LOCAL = ROOT / ".local"
VENV = LOCAL / "venv"
CHECKOV = LOCAL / "checkov"
STATE = LOCAL / "state"
LOGS = LOCAL / "log"
STACK_FILE = LOCAL / "up.json"
