from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "apps.trading"
    label = "trading"
    db_schema = "bots"

    def ready(self) -> None:
        from apps.trading.strategies import load_strategies

        load_strategies()
