"""What the event consumer tells of its groups' dead letters as they stand in the database."""

from collections.abc import Iterable

from django.db.models import Count

from apps.events.consumers import metrics
from apps.events.models import DeadLetter


def read_dead_letters(groups: Iterable[str]) -> None:
    """Sets the gauge of each group. Raises DatabaseError."""
    waiting = DeadLetter.objects.filter(redriven_at=None).values_list("consumer").annotate(Count("id"))
    counted = dict(waiting)
    for group in groups:
        metrics.waiting_dead_letters.labels(group).set(counted.get(group, 0))
