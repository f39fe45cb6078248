"""Whether the live exchange can be reached at all for what is still there: live bots at work, and live orders."""

from apps.core.terms import Mode
from apps.exchange.addresses import live_exchange_url
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import LIVE_RUNS, BotRun


def live_out_of_reach() -> str:
    """What a person should know; empty where there is an address, or nothing that needs one."""
    if live_exchange_url() is not None:
        return ""
    runs = BotRun.objects.filter(mode=Mode.LIVE, state__in=LIVE_RUNS).count()
    active = OrderIntent.objects.filter(run__mode=Mode.LIVE, state__in=ACTIVE_STATES)
    orders = active.exclude(state=IntentState.PLANNED).count()
    if not runs and not orders:
        return ""
    return (
        f"No address of the live exchange is set, with {runs} live bots at work and {orders} live orders that have not "
        "ended: none can be cancelled, sold or looked at. Set MUCKARD_KRAKEN_URL to wind them down."
    )
