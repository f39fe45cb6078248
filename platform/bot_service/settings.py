"""The bot service: runs bots. Its HTTP side is health, readiness and metrics."""

from service_common.settings import service_settings

globals().update(
    service_settings(
        service="bot",
        project="bot_service",
        apps=["apps.exchange", "apps.risk", "apps.vault", "apps.market", "apps.trading"],
    )
)
