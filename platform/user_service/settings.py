"""The user service: accounts, tokens, onboarding. The only holder of the signing key."""

from service_common.settings import service_settings

globals().update(
    service_settings(
        service="user",
        project="user_service",
        apps=["apps.accounts", "apps.onboarding"],
        AUTH_USER_MODEL="accounts.User",
    )
)
