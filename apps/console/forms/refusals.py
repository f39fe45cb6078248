"""Which field of a bot's form an answer of the API is about."""

from collections.abc import Mapping, Sequence
from typing import Any

# Codes whose `details` name no field.
FIELD_OF_CODE = {
    "unknown_pair": "pair",
    "wrong_mode": "credential_id",
    "unknown_credential": "credential_id",
    "credential_not_active": "credential_id",
    "key_lacks_rights": "credential_id",
    "interval_not_offered": "interval_minutes",
    "budget_too_small": "quote_budget",
    "budget_exceeds_account": "quote_budget",
    "cap_exceeded": "quote_budget",
    "amount_too_large": "quote_amount",
}


def problems_of(code: str, message: str, details: Mapping[str, Any]) -> dict[str, list[str]]:
    """The sentences by the name of the form's field; empty where the answer is about none of them."""
    if isinstance(details.get("fields"), Mapping):
        return _flat(details["fields"])
    if code == "invalid_parameters":
        return {f"parameters.{name}": [_sentence(text)] for name, text in details.get("parameters", {}).items()}
    if code == "invalid_limits":
        return {f"risk.{name}": [_sentence(text)] for name, text in details.get("limits", {}).items()}
    name = details.get("field") or FIELD_OF_CODE.get(code)
    return {str(name): [message]} if name else {}


def _flat(problems: Mapping[str, Any], prefix: str = "") -> dict[str, list[str]]:
    """The API nests the problems of nested objects; a form's names have dots."""
    flat: dict[str, list[str]] = {}
    for name, found in problems.items():
        place = f"{prefix}{name}"
        if isinstance(found, Mapping):
            flat |= _flat(found, f"{place}.")
        else:
            texts: Sequence[Any] = found if isinstance(found, list) else [found]
            flat[place] = [str(text) for text in texts]
    return flat


def _sentence(text: Any) -> str:
    words = str(text)
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")
