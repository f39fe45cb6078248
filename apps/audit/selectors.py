"""Queries of the transparency log."""

from django.db.models import Max

from apps.audit.models import SignedCheckpoint


def tree_size() -> int:
    """The number of leaves under the last checkpoint in the database; 0 if there is none."""
    return SignedCheckpoint.objects.aggregate(size=Max("tree_size"))["size"] or 0
