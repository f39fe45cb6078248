"""The words of the API as people read them, in their language. A word that is not known here is shown as it is."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Words = dict[str, str | Promise]

MODES: Words = {"paper": _("Paper"), "live": _("Live")}

SIDES: Words = {"buy": _("Buy"), "sell": _("Sell")}

BOT_STATES: Words = {
    "starting": _("Starting"),
    "running": _("Running"),
    "paused": _("Paused"),
    "stopping": _("Stopping"),
    "stopped": _("Stopped"),
    "error": _("Error"),
}

ORDER_STATES: Words = {
    "planned": _("Planned"),
    "sending": _("Sending"),
    "open": _("Open"),
    "partial": _("Partly filled"),
    "filled": _("Filled"),
    "canceled": _("Cancelled"),
    "expired": _("Expired"),
    "rejected": _("Rejected"),
    "unknown": _("Unknown"),
    "not_placed": _("Not placed"),
    "needs_human": _("Needs an operator"),
}

COMMANDS: Words = {
    "start": _("Start"),
    "pause": _("Pause"),
    "stop": _("Stop"),
    "flatten": _("Flatten"),
    "trigger_trade": _("Trade now"),
}

RECEIPT_STATES: Words = {
    "requested": _("Requested"),
    "delivered": _("Delivered"),
    "running": _("Under way"),
    "done": _("Done"),
    "failed": _("Failed"),
    "dropped": _("Dropped"),
}

OUTCOMES: Words = {
    "complete": _("Complete"),
    "incomplete": _("Incomplete"),
    "filled": _("Filled"),
    "partly_filled": _("Partly filled"),
    "not_filled": _("Not filled"),
    "not_sent": _("Not sent"),
    "open": _("On the order book"),
    "unknown": _("Unknown, being looked for"),
    "refused": _("Refused"),
}

HALT_LEVELS: Words = {"reducing": _("Exits only"), "halted": _("No orders")}

HALT_SCOPES: Words = {"bot": _("Bot"), "key": _("Key"), "user": _("All your bots"), "platform": _("The platform")}

SETTERS: Words = {"user": _("you"), "staff": _("staff"), "system": _("the platform")}

SEVERITIES: Words = {"critical": _("Critical"), "warning": _("Warning")}

INTERVALS: dict[int, str | Promise] = {
    1: _("1 minute"),
    5: _("5 minutes"),
    15: _("15 minutes"),
    30: _("30 minutes"),
    60: _("1 hour"),
    240: _("4 hours"),
    1440: _("1 day"),
    10080: _("1 week"),
    21600: _("15 days"),
}

KINDS: dict[str, Words] = {
    "mode": MODES,
    "side": SIDES,
    "bot": BOT_STATES,
    "order": ORDER_STATES,
    "command": COMMANDS,
    "receipt": RECEIPT_STATES,
    "outcome": OUTCOMES,
    "level": HALT_LEVELS,
    "scope": HALT_SCOPES,
    "setter": SETTERS,
    "severity": SEVERITIES,
}

# Classes of lamps by kind and word; others have none.
LAMPS: dict[tuple[str, str], str] = {
    ("bot", "running"): "good",
    ("bot", "error"): "bad",
    ("bot", "starting"): "busy",
    ("bot", "stopping"): "busy",
    ("bot", "paused"): "warn",
    ("order", "planned"): "busy",
    ("order", "sending"): "busy",
    ("order", "open"): "busy",
    ("order", "partial"): "busy",
    ("order", "filled"): "good",
    ("order", "rejected"): "bad",
    ("order", "unknown"): "warn",
    ("order", "needs_human"): "bad",
    ("receipt", "requested"): "busy",
    ("receipt", "delivered"): "busy",
    ("receipt", "running"): "busy",
    ("receipt", "done"): "good",
    ("receipt", "failed"): "bad",
    ("receipt", "dropped"): "bad",
    ("outcome", "complete"): "good",
    ("outcome", "filled"): "good",
    ("outcome", "partly_filled"): "warn",
    ("outcome", "incomplete"): "warn",
    ("outcome", "unknown"): "warn",
    ("outcome", "open"): "busy",
    ("outcome", "refused"): "bad",
    ("outcome", "not_sent"): "bad",
    ("severity", "critical"): "bad",
    ("severity", "warning"): "warn",
}


def word(kind: str, value: object) -> str:
    return str(KINDS[kind].get(str(value), value))


# What the strategies say of themselves (GET /bot/strategies), so that the catalogue has it. A new strategy's texts are
# shown as they are until they stand here.
STRATEGY_TEXTS = (
    _("Cost averaging"),
    _("Buys for the same amount every so many candles, whatever the price. It never sells."),
    _("the price goes down and stays down: it goes on buying until its budget is spent, and has no stop."),
    _("Every"),
    _("Candles between two purchases."),
    _("Amount"),
    _("Spent each time, in the quote asset."),
    _("Moving average crossover"),
    _("Holds the asset while the fast simple moving average of the closing prices is above the slow one."),
    _(
        "the price moves sideways: each crossing buys high and sells low, and pays the fee twice. After a sudden fall "
        "it sells late."
    ),
    _("Fast window"),
    _("In candles."),
    _("Slow window"),
    _("In candles; longer than the fast one."),
    _("Enter on start"),
    _("Buy at once where the fast average is above already; otherwise wait for the next crossing."),
    _("Channel breakout"),
    _(
        "Buys when a candle closes above the highest high of the window before it (the Donchian channel), and sells "
        "when one closes below the lowest low."
    ),
    _("a breakout fails: the price turns right after it bought, and falls through the whole channel before it sells."),
    _("Window"),
)
