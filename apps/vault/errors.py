"""Expected failures of exchange keys."""

from apps.core.errors import Conflict, Refused


class LabelTaken(Conflict):
    code = "label_taken"


class KeyAlreadyConnected(Conflict):
    """A key serves one program: two would spoil each other's nonces."""

    code = "key_already_connected"


class TooManyKeys(Conflict):
    code = "too_many_keys"


class KeySuspended(Conflict):
    """The key failed its last test and is not used until it passes one."""

    code = "key_suspended"


class KeyChangedMeanwhile(Conflict):
    """The key was rotated or disconnected while it was being tested."""

    code = "key_changed_meanwhile"
    retryable = True


class KeyMayWithdraw(Refused):
    """The platform keeps no key that can move funds out. `details["rights"]` names the rights."""

    code = "key_may_withdraw"


class KeyRightsUnknown(Refused):
    """The exchange does not say what the key may do: then nothing proves that it may not withdraw."""

    code = "key_rights_unknown"


class PaperKeyNotRotatable(Refused):
    """A paper account's key is made by the paper exchange and stays with the account."""

    code = "paper_key_not_rotatable"
