from apps.risk.models.accounts import Account, AccountAsset, AccountMovement, Allocation
from apps.risk.models.caps import Cap, LiveBeginning
from apps.risk.models.halts import Halt, HaltLevel, HaltScope, HaltSource
from apps.risk.models.live_switch import LiveSwitch
from apps.risk.models.switches import BotSwitch

__all__ = [
    "Account",
    "AccountAsset",
    "AccountMovement",
    "Allocation",
    "BotSwitch",
    "Cap",
    "Halt",
    "HaltLevel",
    "HaltScope",
    "HaltSource",
    "LiveBeginning",
    "LiveSwitch",
]
