"""Machine keys on the staff site: whose, with which scopes, from where and when last. Staff revoke, for a reason."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services.machine_keys import machine_key_revoke_by_staff, with_last_use
from apps.core.admin import ReadOnlyAdmin
from apps.core.models import MachineKey
from apps.core.staff_actions import ActedOn


@admin.register(MachineKey)
class MachineKeyAdmin(ReadOnlyAdmin):
    """The key itself is nowhere, and its digest is not shown. Support and admins revoke; the owner sees it at once."""

    list_display = ("name", "owner", "hint", "shown_scopes", "shown_networks", "last_used_at", "expires_at",
                    "created_at", "revoked_at", "revoked_reason")  # fmt: skip
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "revoked_reason", "created_at")
    search_fields = ("=id", "=user_id", "=name", "=hint")
    ordering = ("-created_at",)
    fields = ("id", "name", "owner", "hint", "shown_scopes", "shown_networks", "last_used_at", "created_at",
              "expires_at", "revoked_at", "revoked_reason")  # fmt: skip
    readonly_fields = fields
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[MachineKey]:
        email = User.objects.filter(pk=OuterRef("user_id")).values("email")
        keys: QuerySet[MachineKey] = with_last_use(super().get_queryset(request).defer("digest"))
        return keys.annotate(owner_email=Subquery(email))

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("core.change_machinekey")

    @admin.display(description="owner")
    def owner(self, key: Any) -> str:
        return key.owner_email or str(key.user_id)

    @admin.display(description="scopes")
    def shown_scopes(self, key: MachineKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description="networks")
    def shown_networks(self, key: MachineKey) -> str:
        return ", ".join(key.networks) or "everywhere"

    @admin.display(description="last used", ordering="last_used_at")
    def last_used_at(self, key: Any) -> Any:
        return key.last_used_at

    @admin.action(description="Revoke the selected keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, keys: QuerySet[MachineKey]) -> ActedOn:
        revoked = machine_key_revoke_by_staff(key_ids=list(keys.values_list("id", flat=True)), now=timezone.now())
        self.message_user(request, f"{len(revoked)} keys revoked. Services refuse them within five seconds.")
        return ActedOn(tuple(revoked))
