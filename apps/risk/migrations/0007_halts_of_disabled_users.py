"""Accounts that were disabled before there were halts get theirs, as `apps/risk/consumers.py` sets it since."""

from typing import Any

from django.db import migrations
from django.utils import timezone


def halt_disabled_users(apps: Any, schema_editor: Any) -> None:  # noqa: ARG001
    """Sets no second halt where the consumer has set one. Enabling the account lifts it, by the code and source."""
    halts = apps.get_model("risk", "Halt").objects
    disabled = apps.get_model("accounts", "User").objects.filter(is_active=False)
    in_force = halts.filter(scope="user", source="system", code="user_disabled", lifted_at=None)
    now = timezone.now()
    halts.bulk_create(
        [
            halts.model(
                scope="user",
                subject_id=user_id,
                user_id=user_id,
                level="halted",
                source="system",
                code="user_disabled",
                reason="The account is disabled.",
                set_by="accounts",
                since=now,
            )
            for user_id in disabled.exclude(id__in=in_force.values("subject_id")).values_list("id", flat=True)
        ],
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):
    dependencies = [("risk", "0006_movement_because"), ("accounts", "0001_initial")]

    operations = [migrations.RunPython(halt_disabled_users, migrations.RunPython.noop)]
