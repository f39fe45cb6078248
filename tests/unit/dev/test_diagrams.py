"""Diagrams of the documents become SVG, or the build says which line it cannot draw."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dev.docs.diagrams import DiagramNotUnderstood, to_svg

DOCS = Path(__file__).resolve().parents[3] / "docs"
DIAGRAMS = [
    pytest.param(source, id=f"{page.name}-{number}")
    for page in sorted(DOCS.rglob("*.md"))
    for number, source in enumerate(re.findall(r"^```mermaid\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))
]


def words(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("source", DIAGRAMS)
def test_every_diagram_of_the_documents_is_drawn(source: str) -> None:
    assert words(to_svg(source))


def test_a_flowchart_has_its_nodes_and_the_labels_of_its_edges() -> None:
    svg = to_svg("flowchart LR\n    a[first] --> b & c\n    b -->|then| d[(last\\none)]\n")
    assert sorted(words(svg)) == ["b", "c", "first", "last", "one", "then"]
    assert svg.count('class="e"') == 3


def test_a_cycle_is_drawn() -> None:
    assert to_svg("stateDiagram-v2\n  [*] --> a: x\n  a --> b: y\n  b --> a: z\n").count('class="e"') == 3


def test_a_sequence_has_participants_and_steps_in_their_order() -> None:
    svg = to_svg("sequenceDiagram\n participant A as Trader\n A->>B: asks\n B->>B: thinks\n B-->>A: answers\n")
    assert words(svg) == ["Trader", "B", "asks", "thinks", "answers"]


def test_text_is_escaped() -> None:
    assert "<script>" not in to_svg("sequenceDiagram\n A->>B: <script>\n")


@pytest.mark.parametrize("source", ["pie\n a: 1", "flowchart LR\n a ==> b", "sequenceDiagram\n loop every day\n"])
def test_what_cannot_be_drawn_is_refused(source: str) -> None:
    with pytest.raises(DiagramNotUnderstood):
        to_svg(source)
