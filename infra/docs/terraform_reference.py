"""The tables of variables and outputs in the Terraform module's README, made from their descriptions:
`python3 infra/docs/terraform_reference.py` writes them; with `--check` it only checks that they are current.
"""

import re
import sys
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "infra" / "terraform"
README = MODULE / "README.md"
BEGIN, END = "<!-- reference: made by `make reference` -->\n", "<!-- end of reference -->\n"


def main() -> None:
    """Writes the tables, or complains that the README has others."""
    current = README.read_text()
    wanted = _with_reference(current)
    if sys.argv[1:] != ["--check"]:
        README.write_text(wanted)
    elif current != wanted:
        sys.exit("The reference in infra/terraform/README.md is out of date. Run `make reference`.")


def _with_reference(text: str) -> str:
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{_reference()}\n{END}{after}"


def _reference() -> str:
    lines = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, block in _blocks("variables.tf", "variable"):
        kind = re.search(r"^  type += (.+)$", block, re.MULTILINE)[1].replace("list(object({", "list(object)")
        default = re.search(r"^  default += (.+)$", block, re.MULTILINE)
        shown = f"`{default[1]}`" if default else "required"
        lines.append(f"| `{name}` | {kind.replace('object({', 'object')} | {shown} | {_description(block)} |")
    lines += ["", "| output | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {_description(block)} |" for name, block in _blocks("outputs.tf", "output")]
    return "\n".join(lines) + "\n"


def _blocks(file: str, kind: str) -> list[tuple[str, str]]:
    text = (MODULE / file).read_text()
    return re.findall(rf'^{kind} "(\w+)" {{\n(.*?)^}}', text, re.MULTILINE | re.DOTALL)


def _description(block: str) -> str:
    description = re.search(r'^  description += "(.*)"$', block, re.MULTILINE)[1]
    return description.replace('\\"', '"').replace("|", "\\|")


if __name__ == "__main__":
    main()
