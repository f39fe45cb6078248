"""Lists of the API, page by page, and the parameters of queries."""

from typing import Any, Generic, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

from apps.console.api_client.base import Answer

Row = TypeVar("Row", bound=Answer)


class Page(Answer, Generic[Row]):
    """A page of a list, newest first. `older`, `newer`: the cursors of the pages beside it; empty where none is."""

    results: list[Row]
    older: str = ""
    newer: str = ""

    @classmethod
    def read(cls, answer: dict[str, Any]) -> Self:
        older, newer = cursor_of(answer.get("next")), cursor_of(answer.get("previous"))
        return cls.model_validate({"results": answer["results"], "older": older, "newer": newer})


def cursor_of(address: str | None) -> str:
    """The cursor in the address of another page, which names the API's host and is no use to a browser."""
    return parse_qs(urlsplit(address or "").query).get("cursor", [""])[0]


def given(**query: Any) -> dict[str, str]:
    """The parameters that have a value, as text: the API refuses empty ones."""
    return {name: str(value) for name, value in query.items() if value not in (None, "")}
