"""Diagrams in Mermaid's language as SVG, without Mermaid, which a site without foreign hosts cannot load.

The documents keep Mermaid's text, which code hosts draw by themselves. Understood is what they use: flowcharts with
`-->` and `&`, state diagrams, sequence diagrams with `->>` and `-->>`. Anything else raises DiagramNotUnderstood.
"""

import re
from collections.abc import Sequence
from itertools import product

from dev.docs.graph_svg import CHARACTER, document, draw, text

COLUMN_GAP, ROW, HEAD = 40, 34, 34


class DiagramNotUnderstood(ValueError):
    """A line of a diagram is none that this module draws."""


def to_svg(source: str) -> str:
    """The diagram as an SVG document. Raises DiagramNotUnderstood with the line."""
    kind, *lines = [line.strip() for line in source.strip().splitlines() if line.strip()]
    if kind.startswith("flowchart"):
        return _flowchart(lines)
    if kind == "stateDiagram-v2":
        return _states(lines)
    if kind == "sequenceDiagram":
        return _sequence(lines)
    raise DiagramNotUnderstood(kind)


def _flowchart(lines: Sequence[str]) -> str:
    nodes: dict[str, str] = {}
    edges: list[tuple[str, str, str]] = []

    def named(part: str) -> list[str]:
        names = []
        for item in part.split(" & "):
            found = re.fullmatch(r"(\w+)(?:\[\((.+)\)\]|\[(.+)\]|\((.+)\))?", item.strip())
            if not found:
                raise DiagramNotUnderstood(item)
            name, *texts = found.groups()
            given = next((each for each in texts if each), None)
            if given or name not in nodes:
                nodes[name] = (given or name).replace("\\n", "\n").replace("<br/>", "\n")
            names.append(name)
        return names

    for line in lines:
        parts = re.split(r"\s*-->(?:\|([^|]*)\|)?\s*", line)
        if len(parts) == 1:
            named(line)
        for start, label, end in zip(parts[::2], parts[1::2], parts[2::2], strict=False):
            edges += [(first, second, label or "") for first, second in product(named(start), named(end))]
    return draw(nodes, edges)


def _states(lines: Sequence[str]) -> str:
    nodes: dict[str, str] = {}
    edges: list[tuple[str, str, str]] = []
    for line in lines:
        found = re.fullmatch(r"(\[\*\]|\w+) --> (\[\*\]|\w+)(?:: (.+))?", line)
        if not found:
            raise DiagramNotUnderstood(line)
        start, end, label = found[1], found[2], found[3] or ""
        if end == "[*]":  # an end that is drawn beside each state says no more than its missing arrows
            continue
        for name in (start, end):
            nodes.setdefault(name, "●" if name == "[*]" else name)
        edges.append((start, end, label))
    return draw(nodes, edges)


def _sequence(lines: Sequence[str]) -> str:
    people: dict[str, str] = {}
    steps: list[tuple[str, str, str, bool]] = []
    for line in lines:
        if found := re.fullmatch(r"participant (\w+)(?: as (.+))?", line):
            people[found[1]] = found[2] or found[1]
        elif found := re.fullmatch(r"(\w+)(--?>>)(\w+): (.+)", line):
            for name in (found[1], found[3]):
                people.setdefault(name, name)
            steps.append((found[1], found[3], found[4], found[2] == "-->>"))
        else:
            raise DiagramNotUnderstood(line)
    at = _columns(people, steps)
    height = HEAD + ROW * (len(steps) + 1)
    width = max(at.values()) + max(len(title) for title in people.values()) * CHARACTER
    width = max(width, *(at[start] + len(label) * CHARACTER + 40 for start, end, label, _ in steps if start == end), 0)
    parts = []
    for name, title in people.items():
        half = len(title) * CHARACTER / 2 + 10
        parts.append(f'<path class="life" d="M{at[name]:.1f} {HEAD}V{height}"/>')
        parts.append(
            f'<rect class="n" rx="6" x="{at[name] - half:.1f}" y="4" width="{2 * half:.1f}" height="{HEAD - 8}"/>'
        )
        parts.append(text(at[name], HEAD / 2 + 5, title))
    for number, (start, end, label, is_dashed) in enumerate(steps, 1):
        y = HEAD + ROW * number
        parts.append(_step(at[start], at[end], y, label, "6 4" if is_dashed else ""))
    return document(width, height + 10, parts)


def _columns(people: dict[str, str], steps: Sequence[tuple[str, str, str, bool]]) -> dict[str, float]:
    """Where each participant stands: as far from the one before as titles and labels between the two need."""
    names = list(people)
    at: dict[str, float] = {}
    for number, name in enumerate(names):
        left = names[number - 1] if number else None
        wanted = len(people[name]) * CHARACTER / 2 + 14
        if left is not None:
            wanted += at[left] + len(people[left]) * CHARACTER / 2 + COLUMN_GAP
        for start, end, label, _ in steps:
            room = len(label) * CHARACTER * 0.9 + 24
            earlier = start if end == name else end if start == name else None
            if earlier in at:
                wanted = max(wanted, at[earlier] + room)
            elif start == end == left:
                wanted = max(wanted, at[start] + room + 30)
        at[name] = wanted
    return at


def _step(x1: float, x2: float, y: float, label: str, dashes: str) -> str:
    if x1 == x2:
        arrow = f'<path class="e" marker-end="url(#a)" d="M{x1:.1f} {y - 8}h22v14h-20"/>'
        return arrow + text(x1 + 30, y + 3, label, "l", "start")
    arrow = f'<path class="e" stroke-dasharray="{dashes}" marker-end="url(#a)" d="M{x1:.1f} {y}H{x2:.1f}"/>'
    return arrow + text((x1 + x2) / 2, y - 6, label, "l")
