"""Reads of the daily figures."""

from datetime import date

from apps.analytics.models import DailyFigure


def figure_list(*, since: date) -> list[DailyFigure]:
    """The figures of the days from `since` on (UTC), by day."""
    return list(DailyFigure.objects.filter(day__gte=since).order_by("day", "figure", "mode", "asset"))
