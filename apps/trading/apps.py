from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "apps.trading"
    label = "trading"
    db_schema = "bots"

    def ready(self) -> None:
        from apps.trading import personal_data

        personal_data.register()
