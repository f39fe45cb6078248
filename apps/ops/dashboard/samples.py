"""Reads of the samples that processes keep."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum

from apps.core.models import FigureSample
from apps.core.samples import ERRORS, REQUESTS, Series

# What has not been measured for longer is not shown as present.
LOOKED_BACK = timedelta(minutes=30)


@dataclass(frozen=True)
class Latest:
    """The last value of every series, with its time."""

    values: dict[Series, tuple[float, datetime]]

    def of(self, figure: str) -> dict[str, float]:
        """The values of a figure by label. A label that was not measured with the newest ones is left out: its queue,
        partition or state is no more."""
        found = {label: pair for (name, label), pair in self.values.items() if name == figure}
        newest = max((at for _, at in found.values()), default=None)
        return {label: value for label, (value, at) in found.items() if newest and newest - at < timedelta(minutes=2)}

    def measured_at(self, figures: Iterable[str]) -> datetime | None:
        """When the figure of these was measured that was so least lately; None where one was not at all."""
        times = [
            max((at for (name, _), (_, at) in self.values.items() if name == each), default=None) for each in figures
        ]
        known = [each for each in times if each is not None]
        return min(known) if len(known) == len(times) and known else None


def latest_samples(*, now: datetime) -> Latest:
    rows = FigureSample.objects.filter(slot__gte=now - LOOKED_BACK).exclude(figure__in=(REQUESTS, ERRORS))
    newest = rows.order_by("figure", "label", "-slot").distinct("figure", "label")
    return Latest({(row.figure, row.label): (row.value, row.at) for row in newest})


def counts_since(*, since: datetime) -> dict[Series, float]:
    """What web processes counted in the slots from `since` on."""
    rows = FigureSample.objects.filter(figure__in=(REQUESTS, ERRORS), slot__gte=since)
    return {
        (figure, label): total for figure, label, total in rows.values_list("figure", "label").annotate(Sum("value"))
    }
