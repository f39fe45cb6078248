"""Tolerant decoding: a message that py-amqp or kombu cannot decode is delivered with its body and an error header.

py-amqp decodes a message's properties while it reads the connection. An exception there (a timestamp beyond the year
9999, a property that is not UTF-8, tables nested a thousand deep) would end the process, and the next one, because the
message is delivered again. Kombu decompresses a body while it builds the message, so that a small body could fill the
memory; the platform's own messages are never compressed.
"""

from typing import Any

from kombu import compression

from apps.events.brokers.rabbitmq.internals import decode_properties, set_properties_decoder

# The only header of a message whose properties could not be decoded; its value says why.
UNDECODABLE = "x-undecodable"


def _decode_tolerantly(buffer: Any, offset: int) -> tuple[dict[str, Any], int]:
    try:
        properties, offset = decode_properties(buffer, offset)
    except Exception as error:
        reason = f"Its AMQP properties cannot be decoded: {type(error).__name__}."
        return {"application_headers": {UNDECODABLE: reason}}, len(buffer)
    return properties, offset


def _refuse_compressed(_: Any) -> bytes:
    raise ValueError("messages of this platform are not compressed")


def install_tolerant_decoder() -> None:
    """Installs the decoders for every connection of this process. Idempotent."""
    set_properties_decoder(_decode_tolerantly)
    for content_type in compression.encoders():
        compression.register(_refuse_compressed, _refuse_compressed, content_type)
