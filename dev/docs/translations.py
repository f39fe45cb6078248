"""The console's catalogue of texts: apps/console/locale/<language>/LC_MESSAGES/django.po, and its compiled form.

`python -m dev.docs.translations` says what is missing, no longer used or not compiled; with `--write` it brings the .po
file up to date (new texts come without a translation) and compiles it. GNU gettext is not needed.
"""

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

from dev.base.profile import ROOT

CONSOLE = ROOT / "apps" / "console"
LANGUAGES = ("de",)
KEYWORDS: dict[str, tuple[int, ...] | None] = {
    "_": None, "gettext": None, "gettext_lazy": None, "ngettext": (1, 2), "ngettext_lazy": (1, 2),
}  # fmt: skip
_NO_DATE = datetime(2026, 1, 1, tzinfo=UTC)
# What would differ with each writing, or says nothing
_LEFT_OUT = (
    b'"POT-Creation',
    b'"PO-Revision',
    b'"Last-Translator',
    b'"Language-Team',
    b'"Report-Msgid',
    b'"Generated-By',
)


def texts() -> Catalog:
    """Every text of the console, in English."""
    found = Catalog(charset="utf-8")
    for source in sorted([*CONSOLE.rglob("*.py"), *(CONSOLE / "templates").rglob("*.html")]):
        text = source.read_text(encoding="utf-8")
        if source.suffix == ".html":
            # What stands around the texts is no Python, and its indentation would be taken for Python's.
            text = "\n".join(line.lstrip() for line in templatize(text, origin=str(source)).splitlines())
        for _line, message, _comments, _context in extract("python", io.BytesIO(text.encode()), KEYWORDS):
            found.add(message, flags=["python-format"] if "%(" in str(message) else [])
    return found


def po_file(language: str) -> Path:
    return CONSOLE / "locale" / language / "LC_MESSAGES" / "django.po"


def catalogue(language: str) -> Catalog:
    path = po_file(language)
    if not path.is_file():
        return Catalog(
            locale=language, project="Muckard", version="1", header_comment="# Texts of the console.", fuzzy=False
        )
    with path.open("rb") as file:
        return read_po(file, locale=language, charset="utf-8")


def compiled(known: Catalog) -> bytes:
    """The .mo file: the same bytes at every time."""
    known.creation_date = known.revision_date = _NO_DATE
    buffer = io.BytesIO()
    write_mo(buffer, known)
    return buffer.getvalue()


def problems(language: str) -> Iterator[str]:
    """A sentence for each text without a translation, each translation without a text, and an outdated compilation."""
    known, wanted = catalogue(language), {message.id for message in texts() if message.id}
    for text in sorted(wanted, key=str):
        message = known.get(text)
        if message is None or not _is_translated(message.string):
            yield f"{language}: no translation of {text!r}"
        elif message.fuzzy:
            yield f"{language}: the translation of {text!r} is marked as unsure"
    for message in known:
        if message.id and message.id not in wanted:
            yield f"{language}: no page has {message.id!r} any more"
        yield from (f"{language}: {error} in {message.id!r}" for error in message.check() if message.id)
    path = po_file(language).with_suffix(".mo")
    if not path.is_file() or path.read_bytes() != compiled(known):
        yield f"{language}: {path.name} is not compiled from {path.with_suffix('.po').name}"


def write(language: str) -> None:
    known = catalogue(language)
    known.update(texts(), no_fuzzy_matching=True)
    known.obsolete.clear()
    path = po_file(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    # Not where a text stands: two people who add texts would change the same lines.
    write_po(buffer, known, no_location=True, sort_output=True, width=110, ignore_obsolete=True)
    kept = [line for line in buffer.getvalue().split(b"\n") if not line.startswith(_LEFT_OUT)]
    path.write_bytes(b"\n".join(kept))
    path.with_suffix(".mo").write_bytes(compiled(catalogue(language)))


def _is_translated(string: object) -> bool:
    return all(string) if isinstance(string, tuple | list) else bool(string)


def main() -> int:
    settings.configure(USE_I18N=True)
    if "--write" in sys.argv:
        for language in LANGUAGES:
            write(language)
    found = [problem for language in LANGUAGES for problem in problems(language)]
    for problem in found:
        print(problem)
    if found:
        print("Bring it up to date: .venv/bin/python -m dev.docs.translations --write, then translate what is empty.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
