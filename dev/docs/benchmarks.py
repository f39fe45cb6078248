"""The page of measurements, docs/benchmarks.md, and its plots, from docs/benchmarks/figures.json.

`--write` first takes over what was measured since (.local/bench/figures.jsonl, by tests/bench/figures.py): of each test
the figures of its last run. Tests that did not run keep their figures, with their date. Without it the page is compared
with the figures: exit status 1 where it is stale.
"""

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import groupby

from apps.core.markdown import markdown_table
from dev.base.profile import ROOT
from dev.base.progress import say

FIGURES = ROOT / ".local" / "bench" / "figures.jsonl"
PAGE = ROOT / "docs" / "benchmarks.md"
FOLDER = ROOT / "docs" / "benchmarks"
KEPT = FOLDER / "figures.json"

HEAD = """# Benchmarks

Measured by `make bench` and `make load`, which write this page. A figure is the median of its rounds; the range is the
lowest and the highest round. Speeds depend on the machine and on what else it did, so compare ratios, which come from
two measurements in turn in one run, rather than speeds. `load` is the load average of the last minute: above the number
of cores, the measurement shared them with other work, and its speeds are too low. What the figures mean for sizing:
[capacity](capacity.md).

In a plot each dot is a round, the bar the median, the dashed line the goal.
"""


@dataclass(frozen=True)
class Figure:
    test: str
    name: str
    unit: str
    better: str
    goal: float | None
    note: str
    samples: Sequence[float]
    at: str
    load: float
    machine: Mapping[str, str]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def meets_goal(self) -> bool:
        return self.goal is None or (self.median >= self.goal if self.better == "higher" else self.median <= self.goal)

    @property
    def file(self) -> str:
        """Of the tests that belong together: `tests/bench/test_relay.py` is `relay`."""
        return self.test.partition("::")[0].rpartition("/test_")[2].removesuffix(".py")


def merged(kept: Sequence[Figure], measured: Sequence[Figure]) -> list[Figure]:
    """The figures of each test's last run, in the order of files, tests and measurements."""
    found: dict[tuple[str, str], Figure] = {(each.test, each.name): each for each in kept}
    ran = {each.test for each in measured}
    found = {key: each for key, each in found.items() if each.test not in ran}
    for each in measured:
        found[each.test, each.name] = each
    return sorted(found.values(), key=lambda each: (each.file, each.test))


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def page(figures: Sequence[Figure]) -> str:
    parts = [HEAD]
    for name, group in groupby(figures, key=lambda each: each.file):
        found = list(group)
        parts.append(f"## {name.replace('_', ' ').capitalize()}\n")
        rows = [_row(each) for each in found]
        parts.append(markdown_table(("figure", "median", "range", "goal", "measured", "load"), rows) + "\n")
        for each in found:
            if len(each.samples) > 1:
                parts.append(f"![{each.name}]({FOLDER.name}/{plot_name(each)})\n")
    parts.append(_machines(figures))
    return "\n".join(parts)


def _row(each: Figure) -> tuple[str, ...]:
    ends = f"{number(min(each.samples))} to {number(max(each.samples))}" if len(each.samples) > 1 else "–"
    goal = "–"
    if each.goal is not None:
        least = "≥" if each.better == "higher" else "≤"
        goal = f"{least} {number(each.goal)}: {'met' if each.meets_goal else '**missed**'}"
    described = f"{each.name} ({each.note})" if each.note else each.name
    return described, f"{number(each.median)} {each.unit}".strip(), ends, goal, each.at[:10], f"{each.load:g}"


def _machines(figures: Sequence[Figure]) -> str:
    """Each machine once, with the days on which it measured."""
    days: dict[tuple[tuple[str, str], ...], set[str]] = {}
    for each in figures:
        days.setdefault(tuple(each.machine.items()), set()).add(each.at[:10])
    rows = [(", ".join(sorted(on)), *(dict(told).get(key, "–") for key in _keys(days))) for told, on in days.items()]
    return "## Machines\n\n" + markdown_table(("day", *_keys(days)), rows) + "\n"


def _keys(days: Mapping[tuple[tuple[str, str], ...], set[str]]) -> list[str]:
    return list(dict.fromkeys(key for told in days for key, _ in told))


def plot_name(each: Figure) -> str:
    words = "".join(letter if letter.isalnum() else "-" for letter in each.name.lower())
    return f"{each.file}-{'-'.join(part for part in words.split('-') if part)}.svg"


WIDTH, HEIGHT, LEFT, RIGHT, AXIS = 640, 74, 12, 12, 46


def plot(each: Figure) -> str:
    """The rounds on a line from 0 to the largest value."""
    most = max(*each.samples, each.goal or 0, 1e-9) * 1.05

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * max(value, 0) / most

    title = f"{each.name}, {each.unit}" if each.unit else each.name
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">',
        "<style>text{font:12px system-ui,sans-serif;fill:#475467}.t{fill:#1b1f24}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text class="t" x="{LEFT}" y="16">{escape(title)}</text>',
        f'<path d="M{LEFT} {AXIS}H{WIDTH - RIGHT}" stroke="#d0d5dd"/>',
        f'<path d="M{x(each.median):.1f} {AXIS - 12}v24" stroke="#4b5ea8" stroke-width="3"/>',
        *(f'<circle cx="{x(value):.1f}" cy="{AXIS}" r="4" fill="#4b5ea8" opacity=".55"/>' for value in each.samples),
        f'<text x="{LEFT}" y="{HEIGHT - 4}">0</text>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{number(most)}</text>',
        f'<text x="{x(each.median):.1f}" y="{HEIGHT - 4}" text-anchor="middle">{number(each.median)}</text>',
    ]
    if each.goal is not None:
        parts.append(f'<path d="M{x(each.goal):.1f} 24v44" stroke="#b42318" stroke-dasharray="4 3"/>')
    return "".join(parts) + "</svg>\n"


def files(figures: Sequence[Figure]) -> dict[str, str]:
    """What each generated file has, by its name below docs/."""
    plots = {f"{FOLDER.name}/{plot_name(each)}": plot(each) for each in figures if len(each.samples) > 1}
    return {PAGE.name: page(figures), **plots}


def _kept() -> list[Figure]:
    return [Figure(**each) for each in json.loads(KEPT.read_text())] if KEPT.exists() else []


def _measured() -> list[Figure]:
    """Later lines replace earlier ones of the same figure."""
    lines = FIGURES.read_text(encoding="utf-8").splitlines() if FIGURES.exists() else []
    return list({(each.test, each.name): each for each in (Figure(**json.loads(line)) for line in lines)}.values())


def write() -> None:
    figures = merged(_kept(), _measured())
    FOLDER.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps([asdict(each) for each in figures], indent=1, ensure_ascii=False) + "\n")
    wanted = files(figures)
    for path in FOLDER.glob("*.svg"):
        if f"{FOLDER.name}/{path.name}" not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (PAGE.parent / name).write_text(text, encoding="utf-8")
    FIGURES.unlink(missing_ok=True)
    say(f"  {len(figures)} figures in {PAGE.relative_to(ROOT)}")


def stale() -> list[str]:
    """The generated files that are missing or differ."""
    wanted = files(_kept())
    return [
        name for name, text in wanted.items() if not (path := PAGE.parent / name).exists() or path.read_text() != text
    ]


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        write()
    elif problems := stale():
        say(f"`python -m dev.docs.benchmarks --write` makes {', '.join(problems)} anew.")
        sys.exit(1)
