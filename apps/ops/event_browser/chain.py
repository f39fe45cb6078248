"""One causal chain as a graph: what the request caused, and what that caused in turn, with times and outcomes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.urls import reverse
from django.utils.html import escape

from apps.events.models import CommandExecution
from apps.events.store.selectors import command_executions_by_id
from apps.ops.event_browser.query import EventLine, chain_lines

# A longer chain is shown up to here; the search lists all of it.
MOST_NODES = 200

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 230, 46, 60, 14, 8


@dataclass(frozen=True)
class Node:
    """`depth` counts the causes before it, `row` is its line in the picture, from 0."""

    line: EventLine
    depth: int
    row: int
    outcome: str = ""


@dataclass(frozen=True)
class Chain:
    correlation_id: UUID
    nodes: Sequence[Node]
    is_cut: bool

    @property
    def began_at(self) -> datetime | None:
        return self.nodes[0].line.occurred_at if self.nodes else None


def chain_of(correlation_id: UUID) -> Chain:
    """Raises DatabaseError."""
    lines = chain_lines(correlation_id, limit=MOST_NODES + 1)
    shown = lines[:MOST_NODES]
    outcomes = {
        command_id: _outcome(execution)
        for command_id, execution in command_executions_by_id(command_ids=[line.event_id for line in shown]).items()
    }
    return Chain(correlation_id, _arranged(shown, outcomes), is_cut=len(lines) > MOST_NODES)


def _outcome(execution: CommandExecution) -> str:
    return f"{execution.state}{f': {execution.reason}' if execution.reason else ''}"


def _arranged(lines: Sequence[EventLine], outcomes: Mapping[UUID, str]) -> list[Node]:
    """Each event after its cause and before the next event of the same cause, as a tree is read."""
    known = {line.event_id for line in lines}
    children: dict[UUID | None, list[EventLine]] = {}
    for line in lines:
        # An event cannot be its own cause; what claims so stands at the root.
        cause = line.causation_id if line.causation_id in known and line.causation_id != line.event_id else None
        children.setdefault(cause, []).append(line)
    nodes: list[Node] = []
    placed: set[UUID] = set()
    waiting = [(line, 0) for line in reversed(children.get(None, []))]
    while waiting:
        line, depth = waiting.pop()
        if line.event_id in placed:
            continue
        placed.add(line.event_id)
        nodes.append(Node(line, depth, len(nodes), outcomes.get(line.event_id, "")))
        waiting += [(child, depth + 1) for child in reversed(children.get(line.event_id, []))]
    # A circle of causes has no root. No publisher makes one; it is shown all the same.
    left = [line for line in lines if line.event_id not in placed]
    return nodes + [Node(line, 0, len(nodes) + number) for number, line in enumerate(left)]


def as_svg(chain: Chain, *, here: UUID | None = None) -> str:
    """The graph: the request on the left, every event to the right of its cause. Text is escaped; boxes are links."""
    deepest = max((node.depth for node in chain.nodes), default=0) + 1
    width = 2 * _MARGIN + (deepest + 1) * _WIDTH + deepest * _GAP_X
    height = 2 * _MARGIN + max(1, len(chain.nodes)) * (_HEIGHT + _GAP_Y)
    by_id = {node.line.event_id: node for node in chain.nodes}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="Causal chain of {len(chain.nodes)} events">',
        _box(_MARGIN, _MARGIN, "request", _short(chain.correlation_id)),
    ]
    for node in chain.nodes:
        cause = by_id.get(node.line.causation_id) if node.line.causation_id else None
        start = _position(cause) if cause and cause.line.event_id != node.line.event_id else (_MARGIN, _MARGIN)
        parts.append(_edge(start, _position(node)))
    for node in chain.nodes:
        x, y = _position(node)
        began = chain.began_at
        after = (node.line.occurred_at - began).total_seconds() if began else 0.0
        told = f"+{after:.3f} s · {node.outcome}" if node.outcome else f"+{after:.3f} s"
        address = escape(reverse("event-browser-event", args=[node.line.event_id]))
        name = ' class="ops-here"' if node.line.event_id == here else ""
        parts.append(f'<a href="{address}"{name}>{_box(x, y, node.line.event_type, told)}</a>')
    return "".join([*parts, "</svg>"])


def _position(node: Node) -> tuple[int, int]:
    return _MARGIN + (node.depth + 1) * (_WIDTH + _GAP_X), _MARGIN + node.row * (_HEIGHT + _GAP_Y)


def _box(x: int, y: int, *texts: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>' + "".join(_texts(x, y, texts))


def _texts(x: int, y: int, texts: Iterable[str]) -> Iterable[str]:
    for number, text in enumerate(texts):
        shown = text if len(text) <= 34 else f"{text[:33]}…"
        yield f'<text x="{x + 10}" y="{y + 19 + 17 * number}">{escape(shown)}</text>'


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT // 2
    x2, y2 = end[0], end[1] + _HEIGHT // 2
    middle = (x1 + x2) // 2
    return f'<path class="ops-edge" d="M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"/>'


def _short(given: UUID) -> str:
    return f"{str(given)[:8]}…{str(given)[-4:]}"
