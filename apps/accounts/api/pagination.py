from apps.core.api.pagination import NewestFirstPagination


class ActivityPagination(NewestFirstPagination):
    """By the time of recording, as the event store is indexed."""

    ordering = "-recorded_at"
