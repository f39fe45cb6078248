"""Domain terms that every layer shares, each defined once.

The paper exchange defines its own: it is the other end of the wire.
"""

from typing import Any

from django.db import models
from pydantic_core import core_schema


class Term(models.TextChoices):
    """An enumeration: choices of a database field, values of a message field, strings in JSON."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        """Pydantic's schema of an enum, but without a `ref`: the frozen message schemas inline their enums."""
        return core_schema.enum_schema(cls, list(cls), sub_type="str")

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"enum": cls.values, "type": "string"}


class Mode(Term):
    """The exchange a bot trades on: `paper` is the paper exchange, `live` is Kraken."""

    PAPER = "paper"
    LIVE = "live"


class Side(Term):
    """Side of an order or fill: the pair's base asset is bought or sold."""

    BUY = "buy"
    SELL = "sell"
