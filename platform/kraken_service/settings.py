"""The kraken service: credentials, market data, bot definitions and commands, status read models."""

from service_common.settings import service_settings

globals().update(
    service_settings(
        service="kraken",
        project="kraken_service",
        apps=["apps.exchange", "apps.risk", "apps.vault", "apps.market", "apps.bots"],
    )
)
