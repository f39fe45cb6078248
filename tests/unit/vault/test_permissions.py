"""Permissions of keys: dangerous ones are refused, and the owner gets warnings."""

import pytest

from apps.exchange.types import KeyInfo
from apps.vault.errors import KeyMayWithdraw, KeyPermissionsUnknown
from apps.vault.permissions import NEEDED, refuse_dangerous_permissions, warnings_of
from tests.factories.fake_account import ALL_PERMISSIONS


def test_a_key_for_trading_alone_is_taken() -> None:
    refuse_dangerous_permissions(KeyInfo(permissions=ALL_PERMISSIONS))
    refuse_dangerous_permissions(KeyInfo(permissions=frozenset()))


def test_every_right_to_withdraw_is_named() -> None:
    with pytest.raises(KeyMayWithdraw) as caught:
        refuse_dangerous_permissions(
            KeyInfo(permissions=frozenset({"query-funds", "withdraw-funds", "Add-Withdraw-Address"}))
        )
    assert caught.value.details == {"rights": ["Add-Withdraw-Address", "withdraw-funds"]}


def test_rights_that_are_not_told_prove_nothing() -> None:
    with pytest.raises(KeyPermissionsUnknown):
        refuse_dangerous_permissions(KeyInfo(permissions=None))


@pytest.mark.parametrize("missing", NEEDED)
def test_a_right_that_bots_need_is_missed_by_name(missing: str) -> None:
    permissions = set(NEEDED) - {missing}

    assert warnings_of(permissions=permissions, ip_allowlist=["10.0.0.1"], nonce_window=0, mode="live") == [
        f"Bots cannot trade with this key: it lacks {missing}."
    ]


def test_a_live_key_without_addresses_is_warned_of_a_paper_one_is_not() -> None:
    warnings = {
        mode: warnings_of(permissions=NEEDED, ip_allowlist=[], nonce_window=0, mode=mode) for mode in ("live", "paper")
    }
    assert len(warnings["live"]) == 1
    assert warnings["paper"] == []
