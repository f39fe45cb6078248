"""Words of the domain that every layer shares. Each is defined here once; the paper exchange has its own, as it is the
other side of the wire."""

from typing import Any

from django.db import models
from pydantic_core import core_schema


class Term(models.TextChoices):
    """A closed set of words: choices of a database field, values of a message field, strings in JSON."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Validated and described like a Literal of the words: a published shape names no definition of its own."""
        words = core_schema.literal_schema(list(cls.values))
        return core_schema.no_info_after_validator_function(
            cls,
            words,
            serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=words, when_used="json"),
        )


class Mode(Term):
    """Whose money a bot trades with: `paper` on the paper exchange, `live` on the real one."""

    PAPER = "paper"
    LIVE = "live"


class Side(Term):
    """Of an order or fill, as the pair's base asset is bought or sold."""

    BUY = "buy"
    SELL = "sell"
