"""Settings by concern. A service's settings.py names its apps; everything else comes from here."""

from service_common.settings.factory import service_settings

__all__ = ["service_settings"]
