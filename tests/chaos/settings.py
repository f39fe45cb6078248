"""The event backbone alone, with an app that sees everything that arrives."""

from service_common.settings import service_settings

globals().update(service_settings(service="bot", project="bot_service", apps=["tests.chaos.witness"]))
