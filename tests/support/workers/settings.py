"""A service of the event backbone alone: no domain, so that tests may run every command themselves."""

from service_common.settings import service_settings

globals().update(service_settings(service="bot", project="bot_service", apps=[]))
