"""The template, held against CloudFormation's and SAM's own rules."""

import os

from checkout import LOCAL, ROOT, TEMPLATE, VENV
from processes import run
from terminal import Problem, heading


def lint() -> None:
    """cfn-lint, then `sam validate --lint`; both work without a network."""
    environment = {
        **os.environ,
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(LOCAL / "sam"),  # else it keeps its notes in the home folder
    }
    for command in (["cfn-lint", "--", str(TEMPLATE)], ["sam", "validate", "--lint", "--template", str(TEMPLATE)]):
        heading(" ".join(command[:2] if command[0] == "sam" else command[:1]))
        if run([str(VENV / "bin" / command[0]), *command[1:]], cwd=ROOT, env=environment).returncode != 0:
            raise Problem(f"{command[0]} found the above.")
