"""Where things are. Whatever the local stack makes lies below `.local/`, so that deleting that folder undoes it all."""

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
