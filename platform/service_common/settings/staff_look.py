"""Look of the staff site (django-unfold). Fonts, styles and scripts are in the package: no page asks another host."""

from typing import Any


def staff_look() -> dict[str, Any]:
    return {
        "FORMAT_MODULE_PATH": "apps.core.staff.formats",
        "UNFOLD": {
            "SITE_TITLE": "Muckard",
            "SITE_HEADER": "Muckard",
            "SITE_SUBHEADER": "Staff site",
            "SITE_SYMBOL": "candlestick_chart",
            "SITE_URL": None,
            "SHOW_VIEW_ON_SITE": False,
            "SIDEBAR": {"show_search": True, "navigation": "apps.ops.navigation.sidebar"},
            "ENVIRONMENT": "apps.core.staff.site.environment_label",
        },
    }
