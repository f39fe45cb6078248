"""The sub-ledger of each exchange account."""

import django.db.models.deletion
from django.db import migrations, models

import apps.core.ids


class Migration(migrations.Migration):
    dependencies = [
        ("risk", "0002_live_switch"),
    ]

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                ("credential_id", models.UUIDField(primary_key=True, serialize=False)),
                ("user_id", models.UUIDField()),
                ("changes", models.BigIntegerField(default=0)),
                ("compare_at", models.DateTimeField(null=True)),
                ("compared_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "risk_account",
                "indexes": [models.Index(fields=["compare_at"], name="risk_account_compare_at")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("changes__gte", 0)), name="risk_account_changes")
                ],
            },
        ),
        migrations.CreateModel(
            name="AccountAsset",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("asset", models.CharField(max_length=20)),
                ("booked", models.DecimalField(decimal_places=10, default=0, max_digits=30)),
                ("postings", models.PositiveIntegerField(default=0)),
                ("dust", models.DecimalField(decimal_places=10, default=0, max_digits=30)),
                ("suspected", models.DecimalField(decimal_places=10, max_digits=30, null=True)),
                ("suspected_changes", models.BigIntegerField(null=True)),
                ("drift_since", models.DateTimeField(null=True)),
                ("drift_expected", models.DecimalField(decimal_places=10, max_digits=30, null=True)),
                ("drift_found", models.DecimalField(decimal_places=10, max_digits=30, null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="assets", to="risk.account"
                    ),
                ),
            ],
            options={
                "db_table": "risk_account_asset",
                "constraints": [
                    models.UniqueConstraint(fields=("account", "asset"), name="risk_account_asset_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("suspected", None), ("suspected_changes", None)),
                            models.Q(("suspected__isnull", False), ("suspected_changes__isnull", False)),
                            _connector="OR",
                        ),
                        name="risk_account_asset_suspected",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("drift_expected", None), ("drift_found", None), ("drift_since", None)),
                            models.Q(
                                ("drift_expected__isnull", False),
                                ("drift_found__isnull", False),
                                ("drift_since__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="risk_account_asset_drift",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AccountMovement",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("entry_id", models.CharField(max_length=40)),
                ("kind", models.CharField(max_length=40)),
                ("asset", models.CharField(max_length=20)),
                ("amount", models.DecimalField(decimal_places=10, max_digits=30)),
                ("moved_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField()),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="movements", to="risk.account"
                    ),
                ),
            ],
            options={
                "db_table": "risk_account_movement",
                "constraints": [
                    models.UniqueConstraint(fields=("account", "entry_id"), name="risk_account_movement_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Allocation",
            fields=[
                ("bot_id", models.UUIDField(primary_key=True, serialize=False)),
                ("pair", models.CharField(max_length=20)),
                ("base_asset", models.CharField(max_length=20)),
                ("quote_asset", models.CharField(max_length=20)),
                ("quote_budget", models.DecimalField(decimal_places=10, max_digits=30, null=True)),
                ("quote_amount", models.DecimalField(decimal_places=10, default=0, max_digits=30)),
                ("base_amount", models.DecimalField(decimal_places=10, default=0, max_digits=30)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="allocations", to="risk.account"
                    ),
                ),
            ],
            options={
                "db_table": "risk_allocation",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("base_amount__gte", 0), ("quote_amount__gte", 0)),
                        name="risk_allocation_amounts",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("quote_budget", None), ("quote_budget__gt", 0), _connector="OR"),
                        name="risk_allocation_budget",
                    ),
                ],
            },
        ),
    ]
