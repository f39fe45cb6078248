"""Words of the domain that every layer shares. Each is defined here once; the paper exchange has its own, as it is the
other side of the wire."""

from typing import Any

from django.db import models
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Term(models.TextChoices):
    """A closed set of words: choices of a database field, values of a message field, strings in JSON."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Without a `ref`, so that the JSON Schema of a message contains the words in place, as it was published."""
        return core_schema.enum_schema(cls, list(cls), sub_type="str")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Without the class's title and description."""
        return {"enum": cls.values, "type": "string"}


class Mode(Term):
    """Whose money a bot trades with: `paper` on the paper exchange, `live` on the real one."""

    PAPER = "paper"
    LIVE = "live"


class Side(Term):
    """Of an order or fill, as the pair's base asset is bought or sold."""

    BUY = "buy"
    SELL = "sell"
