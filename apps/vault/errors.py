"""Expected failures of exchange keys."""

from apps.core.errors import Conflict, NotFound, Refused


class KeyNotConnected(NotFound):
    """The key was disconnected, or is another user's."""


class LabelTaken(Conflict):
    code = "label_taken"


class KeyAlreadyConnected(Conflict):
    """A key may be connected once: two programs with one key would invalidate each other's nonces."""

    code = "key_already_connected"


class KeyInUse(Conflict):
    """Bots run with the key, have orders in the account or hold coins there: `details["bots"]`, each with amounts."""

    code = "key_in_use"


class KeyReportsPending(Conflict):
    """Bots of the key have reported what is not read yet: whether they hold something is not known. A retry helps."""

    code = "key_reports_pending"
    retryable = True


class AccountNotProved(Conflict):
    """The new key is not proved to open the same exchange account. `details["bots"]` depend on that account."""

    code = "account_not_proved"


class TooManyKeys(Conflict):
    code = "too_many_keys"


class KeyChangedMeanwhile(Conflict):
    """The key was rotated or disconnected while it was being verified."""

    code = "key_changed_meanwhile"
    retryable = True


class KeyMayWithdraw(Refused):
    """The platform refuses keys that can withdraw funds. `details["rights"]` lists those permissions."""

    code = "key_may_withdraw"


class KeyExpired(Refused):
    """The key's own end has passed. `details["expired_at"]` is when."""

    code = "key_expired"


class KeyPermissionsUnknown(Refused):
    """The exchange does not report the key's permissions, so it cannot be ruled out that the key may withdraw."""

    code = "key_rights_unknown"


class PaperKeyNotRotatable(Refused):
    """The paper exchange issues the key of a paper account; it cannot be replaced."""

    code = "paper_key_not_rotatable"
