"""What the bot service keeps.

Lock order, for whoever writes: switch, run, position, intent, then the event streams of the bot and of its credential.
"""

from apps.trading.models.histories import ReconciledHistory
from apps.trading.models.ledger import Fill, LedgerAccount, LedgerEntry, Position
from apps.trading.models.orders import ACTIVE_STATES, DOUBTFUL_STATES, IntentState, OrderIntent, OrderKind
from apps.trading.models.runs import BotRun, BotSwitch, RunState

__all__ = [
    "ACTIVE_STATES",
    "DOUBTFUL_STATES",
    "BotRun",
    "BotSwitch",
    "Fill",
    "IntentState",
    "LedgerAccount",
    "LedgerEntry",
    "OrderIntent",
    "OrderKind",
    "Position",
    "ReconciledHistory",
    "RunState",
]
