"""Examples of bodies and answers in the OpenAPI documents, made from the schemas and from values by field name.

A field whose schema has `examples` shows its own. Tests hold every example against its schema.
"""

from collections.abc import Iterator
from typing import Any
from uuid import NAMESPACE_URL, uuid5

Schema = dict[str, Any]

# For fields whose schema does not say enough: which text is a pair, which number a price.
_BY_NAME: dict[str, Any] = {
    "access": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiI…",
    "address": "192.0.2.7",
    "altname": "XBTUSD",
    "aggregate": "bot:0192f0c1-2b3c-7d4e-8f50-6172839405a1",
    "api_key": "Gm1t3vQ0n8sWcXJm0a7r2Zp5o4uYbTe6",
    "api_secret": "a2V5IG9mIG5vIGFjY291bnQ=",
    "asset": "USD",
    "base": "XXBT",
    "base_asset": "XBT",
    "country": "DE",
    "cursor": "cD0yMDI2",
    "email": "ada@example.com",
    "exchange_order_id": "OQCLML-BW3P3-BUCMWZ",
    "exchange_trade_id": "TZX2WP-XSEOP-FP7WYR",
    "interval_minutes": 60,
    "ip_allowlist": ["192.0.2.7"],
    "key_hint": "bTe6",
    "label": "Main account",
    "name": "First bot",
    "otp": "492039",
    "pair": "XBTUSD",
    "parameters": {"fast": 5, "slow": 20},
    "password": "correct horse battery staple",
    "current_password": "correct horse battery staple",
    "new_password": "three blind mice in a row",
    "permissions": ["orders.create", "balances.read"],
    "quote": "ZUSD",
    "quote_asset": "USD",
    "quote_budget": "1000",
    "recovery_codes": ["7Q2M-4XKD-P9TR"],
    "refresh": "v1.7cDfTg0k2mVq…",
    "request_id": "5c1f7d0a9be24c3f",
    "roles": ["trader"],
    "secret": "JBSWY3DPEHPK3PXP",
    "side": "buy",
    "strategy": "sma_cross",
    "time_zone": "Europe/Berlin",
    "token": "3yLxVQ0TgKp1nRZ8",
    "user_agent": "Mozilla/5.0",
    "version": 1,
}

# Whole bodies, where required fields and single values would not make a good one.
_BY_COMPONENT: dict[str, Any] = {
    "BotChangeRequest": {"quote_budget": "1500", "version": 1},
    "CapChangeRequest": {"asset": "USD", "largest_order": "250"},
    "KeyConnectRequest": {"label": "Paper account", "mode": "paper"},
    "ProfileRequest": {"name": "Ada", "time_zone": "Europe/Berlin"},
    "ProfileStepRequest": {"country": "DE", "experience": "some", "is_adult": True},
    "RegisterRequest": {"email": "ada@example.com", "password": "correct horse battery staple", "name": "Ada"},
    "StaffChangesRequest": {"is_active": False},
    "StepUpRequest": {"otp": "492039"},
    "TermsStepRequest": {"version": "2026-01", "accepted": True},
}

_BY_FORMAT: dict[str, Any] = {
    "date": "2026-03-01",
    "date-time": "2026-03-01T12:00:00Z",
    "decimal": "10.5",
    "email": "ada@example.com",
    "uri": "http://127.0.0.1:8080/api/v1/bot?cursor=cD0yMDI2",
}

_BY_TYPE: dict[str, Any] = {"string": "text", "boolean": True, "integer": 1, "number": 1.5, "null": None}


def add_examples(document: dict[str, Any]) -> None:
    """Gives every JSON body and answer of the document an example."""
    schemas = document["components"]["schemas"]
    for operation in _operations(document):
        bodies = [(operation["requestBody"], True)] if "requestBody" in operation else []
        for described, is_request in [*bodies, *((answer, False) for answer in operation["responses"].values())]:
            media = described.get("content", {}).get("application/json")
            if media is not None and "example" not in media and "examples" not in media:
                media["example"] = example_of(media["schema"], schemas, is_request=is_request)


def example_of(schema: Schema, schemas: dict[str, Schema], *, name: str = "", is_request: bool = False) -> Any:
    """A value of the schema. `schemas` are the components; `name` is the field's.

    A request has the required fields alone, or all where none is required; an answer has all.
    """
    if "$ref" in schema:
        component = schema["$ref"].rpartition("/")[2]
        schema = schemas[component]
        if component.removeprefix("Patched") in _BY_COMPONENT:
            schema = {"examples": [_BY_COMPONENT[component.removeprefix("Patched")]]}
    inner = next((schema[several][0] for several in ("allOf", "oneOf", "anyOf") if several in schema), None)
    kind = _type_of(schema)
    if schema.get("examples"):
        example = schema["examples"][0]
    elif inner is not None:
        example = example_of(inner, schemas, name=name, is_request=is_request)
    elif kind == "object":
        example = _object(schema, schemas, name=name, is_request=is_request)
    elif name in _BY_NAME and _may_be(_BY_NAME[name], schema):
        example = _BY_NAME[name]
    elif kind == "array":
        example = [example_of(schema.get("items", {}), schemas, name=name.removesuffix("s"), is_request=is_request)]
    else:
        example = _single(schema, kind, name)
    return example


def _object(schema: Schema, schemas: dict[str, Schema], *, name: str, is_request: bool) -> Any:
    properties = schema.get("properties", {})
    if not properties:
        return _BY_NAME.get(name, {}) if isinstance(_BY_NAME.get(name, {}), dict) else {}
    wanted = schema.get("required") if is_request else None
    return {
        each: example_of(properties[each], schemas, name=each, is_request=is_request) for each in wanted or properties
    }


def _single(schema: Schema, kind: str, name: str) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("format") == "uuid":
        return str(uuid5(NAMESPACE_URL, name))
    if schema.get("default") not in (None, ""):
        return schema["default"]
    if schema.get("format") in _BY_FORMAT:
        return _BY_FORMAT[schema["format"]]
    if kind in ("integer", "number"):
        return max(_BY_TYPE[kind], schema.get("minimum", 0))
    return _BY_TYPE[kind]


def _type_of(schema: Schema) -> str:
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    return str(kinds if isinstance(kinds, str) else kinds[0])


def _may_be(value: Any, schema: Schema) -> bool:
    kind = _type_of(schema)
    types: dict[str, type] = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
    return isinstance(value, types.get(kind, str)) and value in schema.get("enum", [value])


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        for method, operation in path.items():
            if method in ("get", "post", "put", "patch", "delete"):
                yield operation
