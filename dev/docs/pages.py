"""Documents that are written from data: docs/traceability.md, and the list of settings in docs/configuration.md.

`python -m dev.docs.pages` says whether they are up to date, with `--write` it brings them there.
"""

import sys
import tomllib
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from apps.core.markdown import markdown_table
from dev.base.profile import ROOT, write_atomically
from service_common.environment import PREFIX, Environment

REQUIREMENTS = ROOT / "docs" / "requirements.toml"
TRACEABILITY = ROOT / "docs" / "traceability.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
BEGIN, END = "<!-- generated: settings -->", "<!-- end: settings -->"
_INTRODUCTION = """\
# Traceability

Every requirement that the platform was ordered with, in our words: where it is built, the tests that show it, and the
figure measured where there is one. Written from `docs/requirements.toml` (`python -m dev.docs.pages --write`); a test
checks that each file and test exists and that no requirement is missing. What is built in part says what is missing."""


def requirements() -> list[Mapping[str, Any]]:
    """Every requirement, in order."""
    found: list[Mapping[str, Any]] = tomllib.loads(REQUIREMENTS.read_text(encoding="utf-8"))["requirement"]
    return found


def traceability() -> str:
    every = requirements()
    in_part = [each["id"] for each in every if each.get("state", "built") == "part"]
    parts = [_INTRODUCTION, f"{len(every)} requirements; built in part: {', '.join(in_part) or 'none'}."]
    for section, chosen in groupby(every, key=lambda each: str(each["section"])):
        table = markdown_table(("id", "asked", "built in", "shown by", "figure, notes"), map(_cells, chosen))
        parts += [f"## {section}", table]
    return "\n\n".join(parts) + "\n"


def _cells(each: Mapping[str, Any]) -> tuple[str, ...]:
    built = ", ".join(f"`{path}`" for path in each["built"])
    tests = ", ".join(f"`{test}`" for test in each["tests"])
    state = "in part" if each.get("state", "built") == "part" else ""
    notes = "; ".join(part for part in (state, each.get("figure", ""), each.get("note", "")) if part)
    return (each["id"], each["asks"], built, tests, notes or "–")


def settings() -> str:
    """A table of all settings that processes read: type, range and default, from their definitions."""
    rows = [_setting(name, field) for name, field in Environment.model_fields.items()]
    return markdown_table(("variable", "type", "default"), rows)


def _setting(name: str, field: FieldInfo) -> tuple[str, str, str]:
    variable = field.validation_alias if isinstance(field.validation_alias, str) else f"{PREFIX}{name.upper()}"
    default = field.default
    if isinstance(default, tuple):
        default = ",".join(str(each) for each in default)
    shown = "–" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    return (f"`{variable}`", _type(field), shown)


def _type(field: FieldInfo) -> str:
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if kinds == [SecretStr]:
        return "secret"
    if all(isinstance(kind, str) for kind in kinds):
        return ", ".join(f"`{kind}`" for kind in kinds)
    if field.annotation in (tuple[str, ...], tuple[int, ...]):
        return "list, separated by commas"
    words = {bool: "true or false", int: "whole number", float: "number", Path: "path", str: "text"}
    name = words.get(kinds[0], "number")
    return " ".join([name, *_range(field)])


def _range(field: FieldInfo) -> Iterator[str]:
    for rule in field.metadata:
        match rule:
            case Ge():
                yield f"≥ {rule.ge}"
            case Gt():
                yield f"> {rule.gt}"
            case Le():
                yield f"≤ {rule.le}"


def _with_settings(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{settings()}\n{END}{after}"


def main() -> int:
    wanted = {TRACEABILITY: traceability(), CONFIGURATION: _with_settings(CONFIGURATION.read_text(encoding="utf-8"))}
    stale = [page for page, text in wanted.items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    if "--write" in sys.argv:
        for page in stale:
            write_atomically(page, wanted[page])
        return 0
    for page in stale:
        print(f"{page.relative_to(ROOT)} is not up to date. Write it again: .venv/bin/python -m dev.docs.pages --write")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
