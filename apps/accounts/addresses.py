"""Normal form of e-mail addresses, in which they are stored and compared."""

import idna
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

MAX_LENGTH = 254


def normalize_email(text: str) -> str:
    """Lower case, with the domain in Punycode so that look-alike domains differ. Raises ValueError.

    Domains follow IDNA 2008 (RFC 5891, UTS 46 without the transitional mapping), as mail servers do: `faß.example` is
    another domain than `fass.example`, and an emoji is in none. An address literal such as `[127.0.0.1]` is refused.
    """
    local, _, domain = text.strip().rpartition("@")
    try:
        host = idna.encode(domain, uts46=True, std3_rules=True).decode()
        address = f"{local}@{host}".lower()
        validate_email(address)
    except (UnicodeError, ValidationError):
        raise ValueError("This is not a valid e-mail address.") from None
    if len(address) > MAX_LENGTH or not address.isascii():
        raise ValueError("This is not a valid e-mail address.")
    return address
