"""What a PromQL expression names, without a parser of PromQL: enough for rules and dashboards of this project."""

import re

_AGGREGATION = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NOT_NAMES = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]')
_NAME = re.compile(r"(?<![\w:.$])([a-zA-Z_:][\w:]*)\b(?!\s*\()")
_KEYWORDS = {"and", "or", "unless", "by", "without", "on", "offset", "bool"}
_SUFFIXES = ("_bucket", "_count", "_sum")


def metrics_named(expression: str) -> set[str]:
    """The metrics and recorded series of an expression. A histogram's series count as the histogram."""
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    text = _AGGREGATION.sub(" ", _NOT_NAMES.sub(" ", without_strings))
    return {name for name in _NAME.findall(text) if name not in _KEYWORDS}


def histogram_of(name: str) -> str:
    """The histogram that a series belongs to, or the name itself."""
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)


def labels_selected(expression: str) -> dict[str, set[str]]:
    """The labels that selectors of each metric name."""
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    found: dict[str, set[str]] = {}
    for name, body in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", without_strings):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", body))
    return found
