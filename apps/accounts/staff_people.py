"""The accounts' part of the staff site's pages of other apps: who has which address."""

from uuid import UUID

from apps.accounts.addresses import normalize_email
from apps.accounts.models import User
from apps.core.staff.people import Directory, people_are_in


def _emails(ids: set[UUID]) -> dict[UUID, str]:
    return dict(User.objects.filter(pk__in=ids).values_list("pk", "email"))


def _find(email: str) -> UUID | None:
    try:
        address = normalize_email(email)
    except ValueError:
        return None
    return User.objects.filter(email=address).values_list("pk", flat=True).first()


people_are_in(Directory(emails=_emails, find=_find))
