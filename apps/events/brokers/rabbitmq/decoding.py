"""Messages that py-amqp or Kombu would fail to take in: their content is kept as it came, and said to be unreadable.

py-amqp decodes a message's properties while it reads the connection. An exception there (a timestamp beyond the year
9999, a property that is not UTF-8, tables nested a thousand deep) would end the process, and the next one, as the
message comes again. Kombu decompresses a body while it makes the message: a small one can fill the memory. Nothing of
ours is compressed.
"""

from typing import Any

from amqp import serialization
from amqp.spec import Basic
from kombu import compression

# Instead of the properties that could not be decoded.
UNDECODABLE = "x-undecodable"

_decode = serialization.decode_properties_basic


def _decode_or_say_why(buffer: Any, offset: int) -> tuple[dict[str, Any], int]:
    try:
        properties, offset = _decode(buffer, offset)
    except Exception as error:
        reason = f"Its AMQP properties cannot be decoded: {type(error).__name__}."
        return {"application_headers": {UNDECODABLE: reason}}, len(buffer)
    return properties, offset


def _refuse(_: Any) -> bytes:
    raise ValueError("no message of ours is compressed")


def be_tolerant() -> None:
    """For every connection of this process. Harmless to call again."""
    decoders: dict[int, Any] = serialization.PROPERTY_CLASSES
    decoders[Basic.CLASS_ID] = _decode_or_say_why
    for content_type in compression.encoders():
        compression.register(_refuse, _refuse, content_type)
