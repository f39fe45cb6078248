"""Keys of a closed account."""

from datetime import datetime
from uuid import UUID

from django.db.models import Q

from apps.vault.models import Credential
from apps.vault.services.keys import credential_disconnect

ERASED = "closed"


def credential_close(*, credential_id: UUID, user_id: UUID, now: datetime) -> None:
    """Disconnects a key and destroys its secret; its bots give up what they hold. Raises as `credential_disconnect`."""
    credential_disconnect(credential_id=credential_id, user_id=user_id, reason="account_closed", now=now, abandon=True)


def credentials_erase(*, user_id: UUID) -> None:
    """Removes what is personal of the user's disconnected keys: name, last characters, addresses, last error."""
    erased = {"label": ERASED, "key_hint": "", "ip_allowlist": [], "last_error": ""}
    rows = Credential.objects.filter(user_id=user_id, state=Credential.State.DISCONNECTED)
    rows.exclude(Q(**erased)).update(**erased)
