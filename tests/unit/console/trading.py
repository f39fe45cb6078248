"""What the API answers about trading, as the console's tests script it."""

from typing import Any

from tests.unit.console.conftest import FakeApi

BOT_ID = "01920000-0000-7000-8000-000000000001"
KEY_ID = "01920000-0000-7000-8000-000000000002"
ORDER_ID = "01920000-0000-7000-8000-000000000003"
COMMAND_ID = "01920000-0000-7000-8000-000000000004"
AT = "2026-03-01T12:00:00Z"
NOTHING: dict[str, Any] = {"next": None, "previous": None, "results": []}


def page(*rows: Any, older: str | None = None) -> dict[str, Any]:
    return {"next": older, "previous": None, "results": list(rows)}


def bot(**fields: Any) -> dict[str, Any]:
    return {
        "id": BOT_ID, "name": "Follower <1>", "credential_id": KEY_ID, "mode": "paper", "pair": "XBTUSD",
        "strategy": "dca", "parameters": {"every_candles": 12, "quote_amount": "50.10"}, "interval_minutes": 60,
        "quote_budget": "1000", "risk": {"orders_per_minute": 10}, "version": 3, "state": "running",
        "created_at": AT, "updated_at": AT, **fields,
    }  # fmt: skip


def order(**fields: Any) -> dict[str, Any]:
    return {
        "id": ORDER_ID, "bot_id": BOT_ID, "command_id": None, "client_order_id": "mkabcdef0123456789",
        "exchange_order_id": "OABC", "mode": "paper", "strategy": "dca", "pair": "XBTUSD", "side": "buy",
        "kind": "take", "price": "30000.1", "volume": "0.00166667", "filled_volume": "0", "filled_cost": "0",
        "filled_fee": "0", "state": "open", "code": "", "reason": "every 12 candles", "attempt": 1,
        "planned_at": AT, "sent_at": AT, "deadline": AT, "cancel_requested_at": None, "ended_at": None,
        "changed_at": AT, **fields,
    }  # fmt: skip


def status(**fields: Any) -> dict[str, Any]:
    return {
        "bot_id": BOT_ID, "state": "running", "since": AT, "run_started_at": AT, "config_version": 3, "reason": "",
        "orders": [order()], "unclear_orders": [], "halts": [], "command": None, "last_error": None,
        "last_skip": None, "trades": 2, "last_trade_at": AT, "base_asset": "XXBT", "quote_asset": "ZUSD",
        "position_volume": "0.00166667", "dust": "0", "realised_pnl": "-1234.5678901234", "fees": "0.0002",
        **fields,
    }  # fmt: skip


def performance(**fields: Any) -> dict[str, Any]:
    return {
        "pair": "XBTUSD", "base_asset": "XXBT", "quote_asset": "ZUSD", "quote_budget": "1000", "trades": 2,
        "sales": 1, "profitable_sales": 0, "position_volume": "0.00166667", "average_price": "30010.0123456789",
        "last_price": "30000.1", "last_price_as_of": AT, "realised_pnl": "-1.5", "unrealised_pnl": "0.25",
        "fees": "0.4", "equity": "998.75", "equity_curve": [], **fields,
    }  # fmt: skip


def receipt(**fields: Any) -> dict[str, Any]:
    return {
        "id": COMMAND_ID, "bot_id": BOT_ID, "bot_name": "Follower <1>", "mode": "paper", "kind": "stop",
        "arguments": {}, "state": "running", "reason": "", "incomplete": False, "result": None, "attempts": 1,
        "requested_at": AT, "begun_at": AT, "finished_at": None, "expires_at": AT, "superseded_by": None, **fields,
    }  # fmt: skip


def halt(**fields: Any) -> dict[str, Any]:
    return {
        "id": COMMAND_ID, "scope": "user", "bot_id": None, "credential_id": None, "level": "halted",
        "set_by": "user", "code": "by_user", "reason": "Holidays", "since": AT, "lifted_at": None, **fields,
    }  # fmt: skip


DCA = {
    "name": "dca", "title": "Cost averaging", "description": "Buys.", "loses_when": "the price goes down.",
    "parameters": {
        "type": "object", "required": ["quote_amount"],
        "properties": {
            "every_candles": {"title": "Every", "type": "integer", "minimum": 1, "maximum": 700, "default": 24,
                              "description": "Candles between two purchases."},
            "quote_amount": {"title": "Amount", "anyOf": [{"type": "number"}, {"type": "string"}]},
            "is_eager": {"title": "Eager", "type": "boolean", "default": True},
        },
    },
}  # fmt: skip


def script_overview(api: FakeApi, **bot_fields: Any) -> None:
    api.on("GET", "bot", page({**bot(**bot_fields), "status": status()}))
    for path in ("bot/alerts", "trading/halts"):
        api.on("GET", path, NOTHING)
    api.on("GET", "trading/equity", {"mode": "paper", "since": AT, "until": AT, "curves": []})


def script_bot(api: FakeApi, **bot_fields: Any) -> None:
    api.on("GET", f"bot/{BOT_ID}", bot(**bot_fields))
    api.on("GET", f"bot/{BOT_ID}/status", status())
    api.on("GET", f"bot/{BOT_ID}/performance", performance())
    api.on("GET", f"bot/{BOT_ID}/commands", page(receipt()))
    api.on("GET", f"bot/{BOT_ID}/timeline", {"next": None, "results": []})
    api.on("GET", f"bot/{BOT_ID}/trades", NOTHING)


def script_form(api: FakeApi) -> None:
    api.on("GET", "bot/strategies", {"results": [DCA]})
    api.on("GET", "kraken/keys", page({"id": KEY_ID, "label": "Main", "mode": "paper", "state": "active"}))
    api.on(
        "GET",
        "trading/pairs",
        page(
            {
                "pair": "XBTUSD", "symbol": "BTC/USD", "base": "XXBT", "quote": "ZUSD", "status": "online",
                "price_decimals": 1, "volume_decimals": 8, "order_minimum": "0.00005", "cost_minimum": "0.5",
            }
        ),
    )  # fmt: skip
    api.on("GET", f"bot/{BOT_ID}", bot())
