import sys

from django.apps import AppConfig


class ExchangeConfig(AppConfig):
    name = "apps.exchange"
    label = "exchange"
    db_schema = "kraken"

    def ready(self) -> None:
        """Ends the process with one sentence where the addresses could mix up paper and live."""
        from django.conf import settings

        from apps.core.terms import Mode
        from apps.exchange.addresses import exchange_url, live_exchange_url
        from apps.exchange.errors import UnsafeExchangeUrl

        try:
            exchange_url(Mode.PAPER)
        except UnsafeExchangeUrl as unsafe:
            sys.exit(str(unsafe))
        if settings.ENVIRONMENT.market_source == "live" and live_exchange_url() is None:
            sys.exit(
                "MUCKARD_MARKET_SOURCE=live needs MUCKARD_KRAKEN_URL while MUCKARD_LIVE_TRADING is off: without live "
                "trading no process has an address of a live exchange by default."
            )
