from apps.core.api.pagination import NewestFirstPagination


class SessionPagination(NewestFirstPagination):
    """Orders by `created_at`, which has microseconds; ids are ordered by millisecond only."""

    ordering = "-created_at"


class ActivityPagination(NewestFirstPagination):
    """Orders by time of recording, the event store's index."""

    ordering = "-recorded_at"
