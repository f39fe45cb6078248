"""Expected failures around halts."""

from apps.core.errors import Conflict, NotFound


class TradingHalted(Conflict):
    """A halt covers the bot; `details["halt"]` names it."""

    code = "halted"


class HaltNotFound(NotFound):
    code = "halt_not_found"


class HaltNotYours(Conflict):
    """Staff or the platform set the halt; its user cannot lift it."""

    code = "halt_not_yours"
