"""The user service: accounts, tokens, onboarding. The only holder of the signing key."""

from service_common.settings import service_settings
from service_common.settings.accounts import account_settings

globals().update(
    service_settings(
        service="user",
        project="user_service",
        apps=["apps.accounts", "apps.onboarding", "apps.analytics"],
        **account_settings("user", signs_tokens=True),
    )
)
