"""What each role may do on the staff site."""

import pytest

from apps.accounts.models import User

PERMISSIONS = ("accounts.view_user", "accounts.change_user", "accounts.delete_user", "events.change_deadletter")


@pytest.mark.parametrize(
    ("roles", "allowed"),
    [
        ([], set()),
        (["trader"], set()),
        (["auditor"], {"accounts.view_user"}),
        (["support"], {"accounts.view_user", "accounts.change_user"}),
        (["operator"], {"accounts.view_user", "events.change_deadletter"}),
        (["trader", "admin"], set(PERMISSIONS)),
        (["king"], set()),
    ],
)
def test_the_table_of_roles(roles: list[str], allowed: set[str]) -> None:
    user = User(roles=roles)

    assert {permission for permission in PERMISSIONS if user.has_perm(permission)} == allowed
    assert user.is_staff == user.has_module_perms("accounts") == bool(allowed)


def test_a_disabled_admin_may_nothing() -> None:
    user = User(roles=["admin"], is_active=False)

    assert not user.has_perm("accounts.view_user")
    assert not user.has_module_perms("accounts")
