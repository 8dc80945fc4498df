"""The commands in the documents, and the test that runs each of them: `python3 infra/docs/documents.py` checks it.

A test runs each block marked `sh`: `infra/local/newcomer.py` word by word, or a file that `RUN_BY` names. A block
marked `sh account` needs what no test has: the real AWS or GitHub, a published release, or Docker. Other marks are
refused. The same applies to commands within the text.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(str(file.relative_to(ROOT)) for file in (ROOT / "docs").glob("*.md")),
    *sorted(str(file.relative_to(ROOT)) for file in (ROOT / "infra").glob("*/README.md")),
]

NEWCOMER = [
    ("docs/OPERATIONS.md", "With SAM"),
    ("docs/OPERATIONS.md", "The GitHub App by hand"),
    ("docs/OPERATIONS.md", "The secret by hand"),
    ("docs/OPERATIONS.md", "The proof"),
    ("docs/OPERATIONS.md", "The dead-letter queue"),
    ("docs/OPERATIONS.md", "One function alone"),
    ("docs/OPERATIONS.md", "Upgrading"),
    ("docs/OPERATIONS.md", "The secret"),
    ("docs/OPERATIONS.md", "Removing everything"),
]
"""The headings below which `newcomer.py` runs every block marked `sh`."""

RUN_BY = {
    "bash .ci/run": (".github/workflows/ci.yml", "bash .ci/run"),
    "cargo clippy --workspace --all-targets -- -D warnings": (".ci/run", "clippy --locked --workspace --all-targets"),
    "cargo fmt --all --check": (".ci/run", "cargo fmt --all --check"),
    "cargo test -p jitgate-tests --test webhook": ("infra/local/toolchain.py", '"test", "--locked", "--workspace"'),
    "cargo test -p worker": ("infra/local/toolchain.py", '"test", "--locked", "--workspace"'),
    "jitgate --help": ("infra/local/command_trials.py", '"--help"'),
    "jitgate cost": ("infra/local/cost_checks.py", '"cost", "--since"'),
    "jitgate replay --record 3d": ("infra/local/cost_checks.py", '"replay", "--record", "3d"'),
    "jitgate replay deliveries.jsonl --classes new.json": (
        "infra/local/cost_checks.py",
        '"replay", str(recording), "--classes"',
    ),
    "jitgate app": ("infra/local/command_trials.py", '"app"'),
    "jitgate destroy": ("infra/local/command_checks.py", '"destroy"'),
    "jitgate setup": ("infra/local/command_checks.py", '"setup"'),
    "jitgate setup --set ReportToGitHub=checks": ("infra/local/command_checks.py", '"ReportToGitHub=checks"'),
    "jitgate upgrade": ("infra/local/command_checks.py", '"upgrade"'),
    "jitgate upgrade --plan": ("infra/local/command_checks.py", '"--plan"'),
    "jitgate upgrade --set MaxRunners=50": ("infra/local/command_checks.py", '"--set"'),
    "jitgate explain fargate,cpu=4 --classes classes.json": (
        EXPLAIN := (
            "tests/tests/explain.rs",
            'command.arg("explain")',
        )
    ),
    "jitgate explain fargate,cpu=4,memory=16 --classes classes.json --repository octo-org/octo-repo": EXPLAIN,
    "jitgate explain --file .github/workflows --classes classes.json --repository octo-org/octo-repo": EXPLAIN,
    "jitgate doctor": ("infra/local/doctor_checks.py", '"doctor"'),
    "jitgate status": ("infra/local/why_checks.py", '"status"'),
    "jitgate why JOB_URL": ("infra/local/why_checks.py", '"why", _address'),
    "make": ("infra/local/play_checks.py", '"make"'),
    "make demo": ("infra/local/__main__.py", "demo.run(running, checks)"),
    "make deployed": ("infra/local/__main__.py", "return _deployed(binaries)"),
    "make down": ("infra/local/play_checks.py", '"down"'),
    "make image": (".github/workflows/images.yml", "infra/image/build.py"),
    "make lint": (".ci/run", "infra/local lint"),
    "make reference": ("infra/local/lint.py", "infra/docs/terraform_reference.py"),
    "make test": (".ci/run", 'make PYTHON="$PYTHON" test'),
    "make try-docker": ("tests/tests/image.rs", "infra/image/try_docker.py"),
    "make up": ("infra/local/play_checks.py", '"up"'),
    "npm ci": ("infra/local/toolchain.py", '"npm", "ci"'),
    "python3 infra/release/pack.py x86_64 release": (".github/workflows/release.yml", "infra/release/pack.py"),
    "python3 infra/release/reproducible.py": (".github/workflows/ci.yml", "infra/release/reproducible.py"),
    'RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps': (".ci/run", "cargo doc --locked --no-deps"),
    "sam delete --stack-name STACK": ("infra/local/newcomer.py", "sam delete --stack-name STACK"),
    "sam validate --lint": ("infra/local/lint.py", '"validate", "--lint"'),
    "terraform destroy": ("infra/local/terraform.py", '"destroy"'),
}
"""Commands, and for each a file that runs it and a text that shows this."""

TOO_LONG = {
    "cargo bench -p jitgate-bench --bench decisions",
    "cargo bench -p jitgate-bench --bench functions -- bursts",
    "cargo bench -p jitgate-bench --bench functions -- faults",
    "cargo bench -p jitgate-bench --bench functions -- limits",
    "cargo bench -p jitgate-bench --bench functions -- shortages",
    "cargo run --profile bench -p jitgate-tests --example pacing",
    "make bench",
    "make simulation",
}
"""Commands that take about half an hour each. clippy at least compiles what they run."""

NAMED = {
    "jitgate explain",
    "jitgate why",
    "jitgate replay",
    "jitgate replay --record",
    "jitgate dead-letters",
    "cargo binstall",
    "cargo lambda deploy",
    "docker build",
    "sam deploy",
    "terraform apply",
}
"""Names of commands that the text mentions without telling the reader to type them."""

ACCOUNT = {
    "cargo binstall --manifest-path Cargo.toml jitgate",
    "aws ecs describe-tasks --cluster CLUSTER --tasks TASK --query 'tasks[].[lastStatus,stopCode,stoppedReason]'",
    "make pins",
    "docker buildx build --output type=image,compression=zstd,force-compression=true,push=true",
    "sam build --beta-features",
}
"""Commands within the text that no test can run."""

PROGRAMS = "aws|bash|cargo|curl|docker|gh|git|jitgate|jq|make|npm|pip|pipx|python3|rustup|sam|terraform"

OTHER_LANGUAGES = {"dockerfile", "hcl", "json", "mermaid", "rust", "text", "yaml"}


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    document: str
    heading: str
    mark: str
    text: str

    def commands(self) -> list[str]:
        """The block's commands, one for each line, with continued lines joined."""
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]


def blocks() -> list[Block]:
    """All fenced blocks of the documents, in order."""
    found = []
    for document in DOCUMENTS:
        heading, fence = "", None
        for line in (ROOT / document).read_text().splitlines():
            if fence is not None:
                if line.strip() == "```":
                    found.append(Block(document, heading, fence[0], "\n".join(fence[1:]) + "\n"))
                    fence = None
                else:
                    fence.append(line)
            elif line.strip().startswith("```"):
                fence = [line.strip().removeprefix("```")]
            elif line.startswith("#"):
                heading = line.lstrip("#").strip()
    return found


def problems() -> list[str]:
    """Names each command that no test runs and no mark excuses, and each entry of `RUN_BY` that is no longer true."""
    problems = []
    for block in blocks():
        where = f"{block.document}, {block.heading}"
        if block.mark in OTHER_LANGUAGES or block.mark == "sh account":
            continue
        if block.mark != "sh":
            problems.append(f"{where}: a block is marked {block.mark!r} instead of `sh` or `sh account`.")
        elif (block.document, block.heading) not in NEWCOMER:
            problems += [f"{where}: no test runs `{each}`." for each in block.commands() if each not in RUN_BY]
    for document in DOCUMENTS:
        text = re.sub(r"^```.*?^```$", "", (ROOT / document).read_text(), flags=re.MULTILINE | re.DOTALL)
        for command in re.findall(rf"`((?:[A-Z]+=(?:\"[^\"]*\"|\S+) )?(?:{PROGRAMS})(?: [^`\n]+)?)`", text):
            if " " in command and command not in {*RUN_BY, *ACCOUNT, *NAMED, *TOO_LONG}:
                problems.append(f"{document}: no test runs `{command}`.")
    for command, (file, words) in RUN_BY.items():
        if words not in (ROOT / file).read_text():
            problems.append(f"{file} no longer runs `{command}`.")
    return problems


if __name__ == "__main__":
    if found := problems():
        sys.exit("\n".join([*found, "See infra/docs/documents.py."]))
