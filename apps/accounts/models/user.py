"""User accounts."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower

from apps.accounts.permissions import roles_allow
from apps.core.identity.principal import ACCOUNT_ROLES, Role
from apps.core.ids import new_id

STAFF_ROLES = frozenset(ACCOUNT_ROLES) - {Role.TRADER}


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser):
    """Account of a trader or of staff. Permissions follow from `roles` alone: no groups, no superuser flag."""

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    email = models.EmailField(max_length=254, unique=True)
    email_verified_at = models.DateTimeField(null=True, blank=True)
    name = models.CharField(max_length=120, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    roles = ArrayField(models.CharField(max_length=20, choices=[(role, role) for role in ACCOUNT_ROLES]), default=list)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        db_table = "user_account"
        constraints = [
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="user_account_email_is_lower_case"),
            models.CheckConstraint(
                condition=models.Q(roles__contained_by=[str(role) for role in ACCOUNT_ROLES]),
                name="user_account_roles_are_known",
            ),
        ]

    @property
    def is_staff(self) -> bool:
        """Whether the account may log in to the staff site."""
        return not STAFF_ROLES.isdisjoint(self.roles)

    @property
    def is_unproven(self) -> bool:
        """Whether somebody else may own the address. Staff are no strangers: other staff gave them the role."""
        return self.email_verified_at is None and not self.is_staff

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return self.is_active and roles_allow(self.roles, perm)

    def has_perms(self, perm_list: list[str], obj: Any = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.is_staff
