"""The stream of a user's events: its tables, and the triggers that note what changed."""

from django.db import migrations, models
from django.db.models.functions import Now

# The rights of the function's owner: workers of bots change command_execution and see no table of this schema. It takes
# no lock that it did not have, so that two transactions that note changes never wait for each other.
FUNCTION = """
CREATE FUNCTION kraken.note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = kraken, pg_temp AS $$
BEGIN
    EXECUTE pg_catalog.format('INSERT INTO kraken.stream_note (kind, subject_id, user_id) SELECT %L, %I, %s FROM changed',
        TG_ARGV[0], TG_ARGV[1], coalesce(TG_ARGV[2], 'NULL::uuid'));
    RETURN NULL;
END $$;
"""

# Table, kind of note, column of the subject, column of the user, and the changes that count
NOTED = (
    ("kraken.bot_status", "status", "bot_id", "user_id", ("INSERT", "UPDATE")),
    ("kraken.bot_order", "order", "order_id", "user_id", ("INSERT", "UPDATE")),
    ("kraken.bot_trade", "trade", "trade_id", "user_id", ("INSERT",)),
    ("kraken.alert", "alert", "id", "user_id", ("INSERT",)),
    ("kraken.bot_command", "command", "id", None, ("INSERT", "UPDATE")),
    ("events.command_execution", "command", "command_id", None, ("INSERT", "UPDATE")),
    ("risk.risk_halt", "halt", "id", None, ("INSERT", "UPDATE")),
)


def _trigger(table: str, kind: str, subject: str, user: str | None, change: str) -> migrations.RunSQL:
    name = f"stream_note_{change.lower()}"
    given = ", ".join(f"'{each}'" for each in (kind, subject, user) if each)
    return migrations.RunSQL(
        f"CREATE TRIGGER {name} AFTER {change} ON {table} REFERENCING NEW TABLE AS changed"
        f" FOR EACH STATEMENT EXECUTE FUNCTION kraken.note_change({given})",
        f"DROP TRIGGER {name} ON {table}",
    )


class Migration(migrations.Migration):
    dependencies = [
        ("bots", "0009_realised_total"),
        ("events", "0009_actor"),
        ("risk", "0007_halts_of_disabled_users"),
    ]

    operations = [
        migrations.CreateModel(
            name="StreamNote",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=7)),
                ("subject_id", models.UUIDField()),
                ("user_id", models.UUIDField(null=True)),
                ("noted_at", models.DateTimeField(db_default=Now())),
            ],
            options={"db_table": "stream_note"},
        ),
        migrations.CreateModel(
            name="StreamEntry",
            fields=[
                ("position", models.BigIntegerField(primary_key=True, serialize=False)),
                ("user_id", models.UUIDField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("status", "Status"),
                            ("order", "Order"),
                            ("trade", "Trade"),
                            ("alert", "Alert"),
                            ("receipt", "Receipt"),
                        ],
                        max_length=7,
                    ),
                ),
                ("subject_id", models.UUIDField()),
                ("noted_at", models.DateTimeField()),
            ],
            options={
                "db_table": "stream_entry",
                "indexes": [models.Index(fields=["user_id", "position"], name="stream_entry_of_user")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["status", "order", "trade", "alert", "receipt"])),
                        name="stream_entry_kind",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="StreamHead",
            fields=[
                ("id", models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ("position", models.BigIntegerField()),
                ("floor", models.BigIntegerField()),
            ],
            options={
                "db_table": "stream_head",
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="stream_head_one")],
            },
        ),
        # A default of its own clock: now() is when the transaction began, and it may be long.
        migrations.RunSQL(
            "ALTER TABLE kraken.stream_note ALTER COLUMN noted_at SET DEFAULT clock_timestamp()", migrations.RunSQL.noop
        ),
        migrations.RunSQL(FUNCTION, "DROP FUNCTION kraken.note_change()"),
        *(_trigger(*noted, change=change) for *noted, changes in NOTED for change in changes),
    ]
