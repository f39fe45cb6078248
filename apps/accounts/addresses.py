"""Normal form of e-mail addresses, in which they are stored and compared."""

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.encoding import punycode

MAX_LENGTH = 254


def normalize_email(text: str) -> str:
    """Lower case, with the domain in Punycode so that look-alike domains differ. Raises ValueError."""
    local, _, domain = text.strip().rpartition("@")
    try:
        address = f"{local}@{punycode(domain)}".lower()
        validate_email(address)
    except (UnicodeError, ValidationError):
        raise ValueError("This is not a valid e-mail address.") from None
    if len(address) > MAX_LENGTH or not address.isascii():
        raise ValueError("This is not a valid e-mail address.")
    return address
