"""Ids that recognise an order: what was decided, and which attempt at it."""

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
    """The same decision always has the same id. `step` is the candle or the command that it was taken for."""
    text = f"{bot_id}|{step}|{side}|{level}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def candle_step(strategy: str, opened_at: datetime) -> str:
    return f"{strategy}@{int(opened_at.timestamp())}"


def bot_code(bot_id: UUID) -> str:
    """Six characters by which an order shows whose it is, even without the database."""
    return _base32(bot_id.int & (1 << 5 * _BOT_CHARACTERS) - 1, _BOT_CHARACTERS)


def new_cl_ord_id(bot_id: UUID) -> str:
    """An id for one attempt to place one order: platform mark, bot code, chance."""
    return f"{PLATFORM_MARK}{bot_code(bot_id)}{_base32(secrets.randbits(5 * _ATTEMPT_CHARACTERS), _ATTEMPT_CHARACTERS)}"


def is_ours(cl_ord_id: str, *, bot_id: UUID | None = None) -> bool:
    """Whether an order carries this platform's mark, and the bot's where one is given."""
    prefix = PLATFORM_MARK + (bot_code(bot_id) if bot_id else "")
    return len(cl_ord_id) == len(PLATFORM_MARK) + _BOT_CHARACTERS + _ATTEMPT_CHARACTERS and cl_ord_id.startswith(prefix)


def _base32(number: int, characters: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(characters)))
