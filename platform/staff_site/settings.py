"""The staff site: Django admin over every app. It owns the migrations run."""

from service_common.settings import service_settings
from service_common.settings.accounts import account_settings, staff_session_settings
from service_common.settings.staff_look import staff_look

globals().update(
    service_settings(
        service="staff",
        project="staff_site",
        apps=[
            "unfold.apps.BasicAppConfig",
            "apps.core.staff.config.StaffAdminConfig",
            "django.contrib.sessions",
            "django.contrib.messages",
            "apps.audit",
            "apps.exchange",
            "apps.risk",
            "apps.accounts",
            "apps.onboarding",
            "apps.analytics",
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
            "apps.accounts.staff_actor.StaffActorMiddleware",
            "apps.accounts.staff_sessions.StaffSessionMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        **account_settings("staff"),
        **staff_session_settings("staff"),
        **staff_look(),
    )
)
