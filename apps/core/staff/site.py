"""The staff site: django-unfold's look. Its settings are in service_common/settings/staff_look.py."""

from typing import TYPE_CHECKING

from django.conf import settings
from django.http import HttpRequest

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite as UnfoldAdminSite
else:
    from unfold.sites import UnfoldAdminSite


class StaffSite(UnfoldAdminSite):
    """Where the pages of every app are registered: `admin.site` of the staff site."""


def environment_label(_request: HttpRequest) -> list[str] | None:
    """Said on each page: text and colour."""
    return None if settings.MARKET_DATA else ["The paper exchange's market is SYNTHETIC", "warning"]
