"""The staff site: Django admin over every app. It owns the migrations run."""

from service_common.settings import service_settings
from service_common.settings.accounts import account_settings

globals().update(
    service_settings(
        service="staff",
        project="staff_site",
        apps=[
            "django.contrib.admin",
            "django.contrib.sessions",
            "django.contrib.messages",
            "apps.audit",
            "apps.exchange",
            "apps.risk",
            "apps.accounts",
            "apps.onboarding",
            "apps.vault",
            "apps.market",
            "apps.paper",
            "apps.bots",
            "apps.trading",
        ],
        middleware=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        **account_settings("staff"),
    )
)
