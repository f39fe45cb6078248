from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.core.principal import Principal, Role


class IsUserStaff(BasePermission):
    message = "This needs the role admin or support."

    def has_permission(self, request: Request, view: Any) -> bool:
        caller: Any = request.user
        return isinstance(caller, Principal) and caller.has_role(Role.ADMIN, Role.SUPPORT)
