"""Whether live trading is on: by the setting MUCKARD_LIVE_TRADING and by the switch that operators set at run time.

Both must be on. Otherwise nothing that spends real money begins: no live bot is created, started or asked to buy, and
no live purchase is sent. What ends trading goes on where the live exchange has an address (MUCKARD_KRAKEN_URL): sales,
pause, stop, flatten, cancelling, reconciling.
"""

from django.conf import settings

from apps.core.errors import Refused
from apps.core.terms import Mode
from apps.risk.models.live_switch import THE_ONE, LiveSwitch

DISABLED = (
    "Live trading is switched off on this platform. Trade with a paper key, or ask the platform's operator to switch "
    "live trading on."
)


class LiveTradingDisabled(Refused):
    """Live trading is off. A later attempt does not help until an operator turns it on."""

    code = "live_trading_disabled"


def is_live_trading_on() -> bool:
    return bool(settings.LIVE_TRADING) and LiveSwitch.objects.filter(id=THE_ONE, is_on=True).exists()


def is_live_trading_refused(mode: str) -> bool:
    """Whether a bot of this mode may not trade now. Any mode but paper counts as live."""
    return mode != Mode.PAPER and not is_live_trading_on()


def refuse_live_trading(mode: str) -> None:
    """Raises LiveTradingDisabled."""
    if is_live_trading_refused(mode):
        raise LiveTradingDisabled(DISABLED, mode=mode)
