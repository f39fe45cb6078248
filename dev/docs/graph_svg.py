"""Draws a small directed graph as SVG: nodes in layers, each edge from layer to layer, labels on the edges."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

CHARACTER, LINE, PADDING, GAP = 7.2, 16, 12, 26
LAYER_GAP = 34
STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#1b1f24}.n{fill:#eef2ff;stroke:#4b5ea8}"
    ".e{fill:none;stroke:#667085;stroke-width:1.2}.l{font-size:11.5px;fill:#475467}"
    ".life{stroke:#98a2b3;stroke-dasharray:4 4}</style>"
    '<marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">'
    '<path d="M0 0L8 4L0 8z" fill="#667085"/></marker>'
)


@dataclass
class Box:
    """A node, or a stop on the way of an edge that crosses a layer; its text may have several lines."""

    lines: Sequence[str]
    is_node: bool
    layer: int = 0
    above: list["Box"] = field(default_factory=list)
    below: list["Box"] = field(default_factory=list)
    x: float = 0
    y: float = 0

    @property
    def width(self) -> float:
        widest = max((len(line) for line in self.lines), default=0)
        return widest * CHARACTER * (1 if self.is_node else 0.9) + (2 * PADDING if self.is_node else 8)

    @property
    def height(self) -> float:
        return len(self.lines) * LINE + (PADDING if self.is_node else 0)


def draw(nodes: Mapping[str, str], edges: Iterable[tuple[str, str, str]]) -> str:
    """The graph as an SVG document. `nodes` has the text of each node; an edge is from, to, label."""
    boxes = {name: Box(text.split("\n"), is_node=True) for name, text in nodes.items()}
    wanted = list(edges)
    _assign_layers(boxes, wanted)
    ways = [_way(boxes[start], boxes[end], label) for start, end, label in wanted]
    layers = _ordered(_layers(boxes.values(), ways))
    width = max(sum(box.width + GAP for box in layer) for layer in layers)
    _place(layers, width)
    height = max(box.y + box.height / 2 for layer in layers for box in layer) + GAP
    parts = [_edge(way, is_back) for way, is_back in ways]
    parts += [_box(box) for layer in layers for box in layer]
    return document(width, height, parts)


def document(width: float, height: float, parts: Iterable[str]) -> str:
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
    fitting = 'style="max-width:100%;height:auto"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {fitting}>{STYLE}{"".join(parts)}</svg>'


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def _assign_layers(boxes: Mapping[str, Box], edges: Sequence[tuple[str, str, str]]) -> None:
    """Each node below those that lead to it. An edge to a node that was mentioned earlier leads back."""
    order = {name: number for number, name in enumerate(boxes)}
    for _ in boxes:
        for start, end, _label in edges:
            if order[start] < order[end]:
                boxes[end].layer = max(boxes[end].layer, boxes[start].layer + 2)


def _way(start: Box, end: Box, label: str) -> tuple[list[Box], bool]:
    """The boxes that an edge passes, from the upper to the lower one, and whether it leads upwards."""
    is_back = start.layer >= end.layer
    upper, lower = (end, start) if is_back else (start, end)
    if upper.layer == lower.layer:
        return [upper, lower], is_back
    stops = [Box((), is_node=False, layer=layer) for layer in range(upper.layer + 1, lower.layer)]
    if label:
        stops[-1 if is_back else 0].lines = [label]
    way = [upper, *stops, lower]
    for first, second in pairwise(way):
        first.below.append(second)
        second.above.append(first)
    return way, is_back


def _layers(boxes: Iterable[Box], ways: Iterable[tuple[list[Box], bool]]) -> list[list[Box]]:
    every = list({id(box): box for box in [*boxes, *(box for way, _ in ways for box in way)]}.values())
    return [[box for box in every if box.layer == layer] for layer in sorted({box.layer for box in every})]


def _ordered(layers: list[list[Box]]) -> list[list[Box]]:
    """The layers with few crossings: each box near the middle of its neighbours (barycentre, down and up in turn)."""
    for turn in range(12):
        downwards = turn % 2 == 0
        at: dict[int, int] = {}
        for layer in layers if downwards else reversed(layers):
            here = {id(box): number for number, box in enumerate(layer)}

            def middle(box: Box, at: dict[int, int] = at, here: dict[int, int] = here, down: bool = downwards) -> float:
                near = [at[id(other)] for other in (box.above if down else box.below) if id(other) in at]
                return sum(near) / len(near) if near else here[id(box)]

            layer.sort(key=middle)
            at |= {id(box): number for number, box in enumerate(layer)}
    return layers


def _place(layers: Sequence[Sequence[Box]], width: float) -> None:
    top: float = PADDING
    for layer in layers:
        height = max(box.height for box in layer)
        spare = (width - sum(box.width for box in layer)) / len(layer)
        left = spare / 2
        for box in layer:
            box.x, box.y = left + box.width / 2, top + height / 2
            left += box.width + spare
        top += height + LAYER_GAP / (1 if any(box.is_node for box in layer) else 2)


def _edge(way: Sequence[Box], is_back: bool) -> str:
    points = [(way[0].x, way[0].y + way[0].height / 2)]
    for box in way[1:-1]:
        points += [(box.x, box.y - box.height / 2), (box.x, box.y + box.height / 2)]
    points.append((way[-1].x, way[-1].y - way[-1].height / 2))
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x1, y1), (x2, y2) in pairwise(points):
        middle = (y1 + y2) / 2
        path += f"C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}"
    return f'<path class="e" d="{path}" {"marker-start" if is_back else "marker-end"}="url(#a)"/>'


def _box(box: Box) -> str:
    top = box.y - box.height / 2
    at = f'x="{box.x - box.width / 2:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    kind = 'class="n" rx="6"' if box.is_node else 'fill="#fff"'
    frame = f"<rect {kind} {at}/>" if box.lines else ""
    first = top + LINE - 3 + (PADDING / 2 if box.is_node else 0)
    return frame + "".join(
        text(box.x, first + number * LINE, line, "" if box.is_node else "l") for number, line in enumerate(box.lines)
    )
