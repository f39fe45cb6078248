"""Tables of the bot service. Importers name the module that defines a model; Django's registry needs them all here.

Lock order of every writer: the locks of halts (`apps/risk/services/locks.py`), switch, run,
position, intent, then the event streams of the bot and of its credential.
"""

from apps.trading.models import (  # noqa: F401
    acceptances,
    equity,
    exits,
    histories,
    ledger,
    orders,
    resolutions,
    runs,
    series,
)
