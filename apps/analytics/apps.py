from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "apps.analytics"
    label = "analytics"
    # The user service's consumer fills the table (docs/adr/0011-analytics-is-an-app-of-the-user-service.md).
    db_schema = "users"
