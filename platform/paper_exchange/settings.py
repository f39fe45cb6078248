"""The paper exchange: Kraken's wire surface over our own matching engine."""

from service_common.settings import service_settings

globals().update(service_settings(service="paper", project="paper_exchange", apps=["apps.paper"]))
