from apps.core.api.pagination import NewestFirstPagination


class SessionPagination(NewestFirstPagination):
    """To the microsecond: ids order by the millisecond alone."""

    ordering = "-created_at"


class ActivityPagination(NewestFirstPagination):
    """By the time of recording, as the event store is indexed."""

    ordering = "-recorded_at"
