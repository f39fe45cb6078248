"""What people stated about the balances of an account that differ from the ledger."""

from uuid import UUID

from django.db import models

from apps.trading.models.staff_entries import EntryState, StaffEntry, entry_constraints


class BalanceAcceptance(StaffEntry):
    """One person's entry about one account: its balances are accepted as they are, or, with `corrects`, an earlier
    acceptance is taken back.

    `movements` are the ids of the account movements that it made; `message` says what was accepted, or why not.
    """

    credential_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    state = models.CharField(
        max_length=9,
        default=EntryState.REQUESTED,
        choices=[
            (EntryState.REQUESTED, "Waits for the reconciler, which asks the exchange first"),
            (EntryState.APPLIED, "Applied"),
            (EntryState.REFUSED, "Nothing was changed; the message says why"),
        ],
    )
    movements = models.JSONField(default=list)

    class Meta:
        db_table = "trading_balance_acceptance"
        indexes = [models.Index(fields=["credential_id", "-requested_at"], name="trading_acceptance_of_account")]
        constraints = entry_constraints("trading_acceptance", about="credential_id")

    def __str__(self) -> str:
        return f"{self.credential_id}: {self.outcome}"

    @property
    def outcome(self) -> str:
        return "take back" if self.corrects_id else "accept"
