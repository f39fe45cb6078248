import uuid

from django.db import migrations, models

import apps.core.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Halt",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "scope",
                    models.CharField(
                        choices=[("bot", "Bot"), ("key", "Key"), ("user", "User"), ("platform", "Platform")],
                        max_length=8,
                    ),
                ),
                ("subject_id", models.UUIDField()),
                ("user_id", models.UUIDField(null=True)),
                ("level", models.CharField(choices=[("reducing", "Reducing"), ("halted", "Halted")], max_length=8)),
                (
                    "source",
                    models.CharField(
                        choices=[("user", "User"), ("staff", "Staff"), ("system", "System")], max_length=6
                    ),
                ),
                ("code", models.CharField(max_length=80)),
                ("reason", models.CharField(max_length=500)),
                ("set_by", models.CharField(max_length=200)),
                ("since", models.DateTimeField()),
                ("lifted_at", models.DateTimeField(null=True)),
                ("lifted_by", models.CharField(blank=True, max_length=200)),
                ("lifted_because", models.CharField(blank=True, max_length=500)),
            ],
            options={
                "db_table": "risk_halt",
                "indexes": [models.Index(fields=["user_id", "-since"], name="risk_halt_of_user")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("lifted_at", None)),
                        fields=("scope", "subject_id", "source", "code"),
                        name="risk_halt_one_in_force_a_cause",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("scope__in", ["bot", "key", "user", "platform"])), name="risk_halt_scope"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("level__in", ["reducing", "halted"])), name="risk_halt_level"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("source__in", ["user", "staff", "system"])), name="risk_halt_source"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("scope", "platform"),
                                ("subject_id", uuid.UUID("00000000-0000-0000-0000-000000000000")),
                                ("user_id", None),
                            ),
                            models.Q(
                                models.Q(("scope", "platform"), _negated=True),
                                models.Q(
                                    ("subject_id", uuid.UUID("00000000-0000-0000-0000-000000000000")), _negated=True
                                ),
                                ("user_id__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="risk_halt_subject",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("lifted_at", None), ("lifted_by", "")),
                            models.Q(("lifted_at__isnull", False), models.Q(("lifted_by", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="risk_halt_lifted",
                    ),
                ],
            },
        ),
        # The table is older: `trading` 0007 moves it here.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="BotSwitch",
                    fields=[
                        ("bot_id", models.UUIDField(primary_key=True, serialize=False)),
                        ("stop_requested_at", models.DateTimeField(null=True)),
                        ("deleted_at", models.DateTimeField(null=True)),
                    ],
                    options={
                        "verbose_name_plural": "bot switches",
                        "db_table": "risk_bot_switch",
                    },
                ),
            ],
        ),
    ]
