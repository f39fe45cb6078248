import sys

from django.apps import AppConfig


class ExchangeConfig(AppConfig):
    name = "apps.exchange"
    label = "exchange"
    db_schema = "kraken"

    def ready(self) -> None:
        """Ends the process with one sentence where the addresses could mix up paper and live."""
        from apps.core.terms import Mode
        from apps.exchange.addresses import exchange_url
        from apps.exchange.errors import UnsafeExchangeUrl

        try:
            exchange_url(Mode.PAPER)
        except UnsafeExchangeUrl as unsafe:
            sys.exit(str(unsafe))
