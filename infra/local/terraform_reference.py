"""The module's reference in its README, made of what its variables and outputs say of themselves."""

import re

from checkout import MODULE
from terminal import Problem

README = MODULE / "README.md"
BEGIN, END = "<!-- reference: made by `make reference` -->\n", "<!-- end of reference -->\n"


def write() -> None:
    """Puts the reference of today into the README."""
    README.write_text(_with_reference(README.read_text()))


def check() -> None:
    """Complains if the README tells of something else."""
    if README.read_text() != _with_reference(README.read_text()):
        raise Problem("infra/terraform/README.md is behind the module. `make reference` brings it up to date.")


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
    said = re.search(r'^  description += "(.*)"$', block, re.MULTILINE)[1]
    return said.replace('\\"', '"').replace("|", "\\|")
