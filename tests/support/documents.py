"""The documents of the repository, and the commands in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "apps").rglob("*.md"), *(ROOT / "dev").rglob("*.md")]
)
# The changelog also tells of what was.
PAGES_OF_TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, with the language that it names, "" where it names none."""

    page: str
    language: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.lines[0].strip()[:60]}"


def blocks() -> Iterator[Block]:
    for page in PAGES_OF_TODAY:
        for _, language, text in _FENCE.findall(page.read_text(encoding="utf-8")):
            yield Block(relative(page), language, tuple(text.rstrip("\n").split("\n")))


def commands(block: Block) -> list[str]:
    """The commands of a shell block: comments taken off, continued lines joined."""
    text = re.sub(r"\s+\\\n\s*", " ", "\n".join(block.lines))
    lines = (re.sub(r"(^|\s+)#\s.*$", "", line).strip() for line in text.split("\n"))
    return [line for line in lines if line]
