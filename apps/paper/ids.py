"""Transaction ids in Kraken's format: a letter for the kind, then random characters in groups of 6, 5 and 6."""

import re
import secrets

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TXID = re.compile(r"[A-Z0-9]{6}-[A-Z0-9]{5}-[A-Z0-9]{6}")


def _txid(kind: str) -> str:
    characters = kind + "".join(secrets.choice(_ALPHABET) for _ in range(16))
    return f"{characters[:6]}-{characters[6:11]}-{characters[11:]}"


def order_txid() -> str:
    return _txid("O")


def trade_txid() -> str:
    return _txid("T")


def amend_id() -> str:
    return _txid("T")


def ledger_id() -> str:
    return _txid("L")


def is_txid(text: str) -> bool:
    return _TXID.fullmatch(text) is not None
