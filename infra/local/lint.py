"""The template, held against CloudFormation's and SAM's own rules, the workflows against GitHub's, and this folder
against Python's."""

import os

import terraform_reference
from checkout import LOCAL, ROOT, TEMPLATE, VENV
from processes import run
from terminal import Problem, heading


def lint() -> None:
    """cfn-lint, `sam validate --lint`, zizmor, ruff. None of them needs a network."""
    environment = {
        **os.environ,
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(LOCAL / "sam"),  # else it keeps its notes in the home folder
        "RUFF_CACHE_DIR": str(LOCAL / "ruff"),
    }
    terraform_reference.check()
    for program, arguments in (
        ("cfn-lint", ["--", TEMPLATE.name]),
        ("sam", ["validate", "--lint", "--template", TEMPLATE.name]),
        ("zizmor", ["--offline", "--no-progress", "--persona", "pedantic", ".github"]),
        ("ruff", ["check", "infra/local"]),
        ("ruff", ["format", "--check", "infra/local"]),
    ):
        heading(f"{program} {' '.join(arguments)}")
        if run([str(VENV / "bin" / program), *arguments], cwd=ROOT, env=environment).returncode != 0:
            raise Problem(f"{program} found the above.")
