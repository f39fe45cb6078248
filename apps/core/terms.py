"""Domain terms that every layer shares, each defined once.

The paper exchange defines its own: it is the other end of the wire.
"""

from typing import Any

from django.db import models
from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema


class Term(models.TextChoices):
    """An enumeration: choices of a database field, values of a message field, strings in JSON."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """As a literal of its words: the shape of a published message has them in place, without a definition."""
        return core_schema.no_info_after_validator_function(cls, core_schema.literal_schema(cls.values))


class Mode(Term):
    """The exchange a bot trades on: `paper` is the paper exchange, `live` is Kraken."""

    PAPER = "paper"
    LIVE = "live"


class Side(Term):
    """Side of an order or fill: the pair's base asset is bought or sold."""

    BUY = "buy"
    SELL = "sell"
