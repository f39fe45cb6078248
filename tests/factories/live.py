"""Live trading for tests: the installation's switch, and callers who meet the gates."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from apps.core.identity.assurance import Assurance
from apps.core.identity.principal import EMAIL_VERIFIED_CLAIM, MFA_CLAIM, STEPPED_UP_CLAIM
from apps.risk.models.live_switch import THE_ONE, LiveSwitch
from service_common.settings.factory import LiveCaps

# Caps that no test meets by accident.
WIDE = LiveCaps(Decimal(10**9), Decimal(10**9), Decimal(10**9), Decimal(1))


def live_trading(settings: Any, is_on: bool) -> None:
    """Turns live trading on or off, by the setting and by the switch, with caps out of the way. Publishes nothing."""
    settings.LIVE_CAPS = WIDE
    settings.LIVE_TRADING = is_on
    row = {"is_on": is_on, "reason": "A test", "changed_by": "tests", "changed_at": timezone.now()}
    LiveSwitch.objects.update_or_create(id=THE_ONE, defaults=row)


def assured(now: datetime | None = None) -> Assurance:
    """A caller who meets every gate of their own now."""
    return Assurance(has_verified_email=True, has_mfa=True, stepped_up_at=now or timezone.now())


def assured_claims(now: datetime | None = None) -> dict[str, Any]:
    """The claims of such a caller's access token."""
    at = int((now or timezone.now()).timestamp())
    return {EMAIL_VERIFIED_CLAIM: True, MFA_CLAIM: True, STEPPED_UP_CLAIM: at}
