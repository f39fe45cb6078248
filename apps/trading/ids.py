"""Ids of orders: the decision id, and the client order id of each attempt."""

import hashlib
import secrets
from datetime import datetime
from uuid import UUID

# Kraken takes a free text of up to 18 ASCII characters (guide "Client order identifiers").
PLATFORM_MARK = "mk"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_BOT_CHARACTERS = 6
_ATTEMPT_CHARACTERS = 10


def decision_id(*, bot_id: UUID, step: str, side: str, level: int = 0) -> str:
    """The same decision always has the same id. `step` is the candle or the command of the decision."""
    text = f"{bot_id}|{step}|{side}|{level}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def candle_step(strategy: str, opened_at: datetime) -> str:
    return f"{strategy}@{int(opened_at.timestamp())}"


def bot_code(bot_id: UUID) -> str:
    """Six characters that tell which bot an order belongs to, without the database."""
    return _base32(bot_id.int & (1 << 5 * _BOT_CHARACTERS) - 1, _BOT_CHARACTERS)


def new_client_order_id(bot_id: UUID) -> str:
    """Client order id of one attempt to place one order: platform mark, bot code, random characters."""
    return f"{PLATFORM_MARK}{bot_code(bot_id)}{_base32(secrets.randbits(5 * _ATTEMPT_CHARACTERS), _ATTEMPT_CHARACTERS)}"


def is_ours(client_order_id: str, *, bot_id: UUID | None = None) -> bool:
    """Whether an order carries this platform's mark, and the bot's code where `bot_id` is given."""
    prefix = PLATFORM_MARK + (bot_code(bot_id) if bot_id else "")
    return len(client_order_id) == len(
        PLATFORM_MARK
    ) + _BOT_CHARACTERS + _ATTEMPT_CHARACTERS and client_order_id.startswith(prefix)


def _base32(number: int, characters: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(characters)))
