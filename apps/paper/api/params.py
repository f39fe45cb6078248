"""Request parameters as Kraken accepts them: query, form or JSON; lists by repetition or commas; `true` in any case."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs

from apps.paper.errors import InvalidArguments

MAX_FIELDS = 300
MAX_NAMES = 50
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
LATEST_UNIX_TIME = 32_503_680_000  # the year 3000
USERREFS = range(-(2**31), 2**31)

Choice = TypeVar("Choice", bound=StrEnum)


class Params:
    """Typed access by name. An empty value counts as absent. Every method raises InvalidArguments with the name."""

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = {name: [text for text in texts if text != ""] for name, texts in values.items()}

    @classmethod
    def of_form(cls, text: str) -> Self:
        try:
            return cls(parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
        except ValueError:
            raise InvalidArguments from None

    @classmethod
    def of_json(cls, text: str) -> Self:
        try:
            # Numbers stay text: a price must not pass through a float.
            body = json.loads(text, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            raise InvalidArguments from None
        if not isinstance(body, dict):
            raise InvalidArguments
        return cls({name: [_text(part) for part in _as_list(value)] for name, value in body.items()})

    def text(self, name: str) -> str | None:
        values = self._values.get(name)
        return values[0] if values else None

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise InvalidArguments(name)
        return value

    def names(self, name: str) -> list[str]:
        """``pair=A,B`` and ``pair=A&pair=B`` alike."""
        parts = [part.strip() for text in self._values.get(name, []) for part in text.split(",")]
        if len(parts) > MAX_NAMES:
            raise InvalidArguments(name)
        return [part for part in parts if part]

    def boolean(self, name: str, *, default: bool = False) -> bool:
        value = self.text(name)
        if value is None:
            return default
        if value.lower() in ("true", "1"):
            return True
        if value.lower() in ("false", "0"):
            return False
        raise InvalidArguments(name)

    def integer(self, name: str, *, least: int, most: int) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value) or not least <= int(value) <= most:
            raise InvalidArguments(name)
        return int(value)

    def userref(self) -> int | None:
        """Kraken's user reference, a signed 32-bit number."""
        return self.integer("userref", least=USERREFS[0], most=USERREFS[-1])

    def number(self, name: str) -> Decimal | None:
        value = self.text(name)
        if value is None:
            return None
        if not _NUMBER.fullmatch(value):
            raise InvalidArguments(name)
        return Decimal(value)

    def choice(self, name: str, choices: type[Choice]) -> Choice:
        value = self.required(name)
        if value not in {choice.value for choice in choices}:
            raise InvalidArguments(name)
        return choices(value)

    def moment(self, name: str) -> datetime | None:
        """A Unix time in seconds, with or without a fraction."""
        value = self.number(name)
        if value is None:
            return None
        if not 0 <= value < LATEST_UNIX_TIME:
            raise InvalidArguments(name)
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(value * 1_000_000))

    def moment_ahead(self, name: str, *, now: datetime) -> datetime | None:
        """``0`` for none, a Unix time, or ``+n`` for n seconds from now."""
        value = self.text(name)
        number = self.number(name)
        if value is None or not number:
            return None
        if value.startswith("+"):
            if number > LATEST_UNIX_TIME:
                raise InvalidArguments(name)
            return now + timedelta(microseconds=int(number * 1_000_000))
        return self.moment(name)

    def rfc3339(self, name: str) -> datetime | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidArguments(name) from None
        if moment.tzinfo is None:
            raise InvalidArguments(name)
        return moment.astimezone(UTC)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
