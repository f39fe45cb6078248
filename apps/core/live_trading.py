"""The platform's switch for live trading (MUCKARD_LIVE_TRADING), off unless an operator turns it on.

Off, nothing that spends real money begins: no live bot is created, started or asked to trade, and no live order is
sent. What ends trading is never refused: pause, stop, flatten with its sales, cancelling, reconciling.
"""

from django.conf import settings

from apps.core.errors import Refused
from apps.core.terms import Mode


class LiveTradingDisabled(Refused):
    """The switch is off. A later attempt does not help until an operator turns it on."""

    code = "live_trading_disabled"


DISABLED = (
    "Live trading is switched off on this platform. Trade with a paper key, or ask the platform's operator to switch "
    "live trading on."
)


def is_live_trading_refused(mode: str) -> bool:
    """Whether a bot of this mode may not trade now. Any mode but paper counts as live."""
    return mode != Mode.PAPER and not settings.LIVE_TRADING


def refuse_live_trading(mode: str) -> None:
    """Raises LiveTradingDisabled."""
    if is_live_trading_refused(mode):
        raise LiveTradingDisabled(DISABLED, mode=mode)
