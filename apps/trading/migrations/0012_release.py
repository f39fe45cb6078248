"""Coins that a bot gives up to its exchange account are posted like a fill: balanced, and never rewritten."""

import django.db.models.deletion
from django.db import migrations, models

import apps.core.ids

BALANCED = r"""
CREATE OR REPLACE FUNCTION bots.trading_fill_is_balanced() RETURNS trigger LANGUAGE plpgsql
    SET search_path = bots, pg_temp AS $$
DECLARE
    v_asset text;
    v_sum numeric;
BEGIN
    IF NEW.fill_id IS NOT NULL THEN
        SELECT asset, sum(amount) INTO v_asset, v_sum FROM trading_ledger_entry
         WHERE fill_id = NEW.fill_id GROUP BY asset HAVING sum(amount) <> 0 LIMIT 1;
    ELSE
        SELECT asset, sum(amount) INTO v_asset, v_sum FROM trading_ledger_entry
         WHERE release_id = NEW.release_id GROUP BY asset HAVING sum(amount) <> 0 LIMIT 1;
    END IF;
    IF v_sum IS NOT NULL THEN
        RAISE EXCEPTION 'the postings of % do not add up: % % are left over',
            coalesce('fill ' || NEW.fill_id, 'release ' || NEW.release_id), v_sum, v_asset
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER trading_release_is_append_only BEFORE UPDATE OR DELETE ON bots.trading_release
    FOR EACH ROW EXECUTE FUNCTION bots.trading_refuse_change();
"""

BEFORE = r"""
DROP TRIGGER trading_release_is_append_only ON bots.trading_release;
CREATE OR REPLACE FUNCTION bots.trading_fill_is_balanced() RETURNS trigger LANGUAGE plpgsql
    SET search_path = bots, pg_temp AS $$
DECLARE
    v_asset text;
    v_sum numeric;
BEGIN
    SELECT asset, sum(amount) INTO v_asset, v_sum FROM trading_ledger_entry
     WHERE fill_id = NEW.fill_id GROUP BY asset HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the postings of fill % do not add up: % % are left over', NEW.fill_id, v_sum, v_asset
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0011_due_exit"),
    ]

    operations = [
        migrations.CreateModel(
            name="Release",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("bot_id", models.UUIDField(db_index=True)),
                ("credential_id", models.UUIDField()),
                ("command_id", models.UUIDField(null=True)),
                ("pair", models.CharField(max_length=20)),
                ("base_asset", models.CharField(max_length=20)),
                ("volume", models.DecimalField(decimal_places=10, max_digits=30)),
                (
                    "reason",
                    models.CharField(
                        choices=[("bot_deleted", "Bot Deleted"), ("key_disconnected", "Key Disconnected")],
                        max_length=16,
                    ),
                ),
                ("released_at", models.DateTimeField()),
            ],
            options={
                "db_table": "trading_release",
            },
        ),
        migrations.RemoveConstraint(
            model_name="ledgerentry",
            name="trading_ledger_account",
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="account",
            field=models.CharField(
                choices=[
                    (
                        "cash",
                        "The bot's quote currency; starts at zero, so that its balance is what the bot earned or spent",
                    ),
                    ("position", "The base asset that the bot holds"),
                    ("market", "The counterparty"),
                    ("fees", "What the exchange kept"),
                    ("unallocated", "What is in the exchange account and belongs to no bot"),
                ],
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="fill",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="postings", to="trading.fill"
            ),
        ),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.CheckConstraint(condition=models.Q(("volume__gt", 0)), name="trading_release_amount"),
        ),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason__in", ["bot_deleted", "key_disconnected"])), name="trading_release_reason"
            ),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="release",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="postings", to="trading.release"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.UniqueConstraint(
                fields=("release", "account", "asset"), name="trading_ledger_released_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("fill", None), ("release__isnull", False)),
                    models.Q(("fill__isnull", False), ("release", None)),
                    _connector="OR",
                ),
                name="trading_ledger_of_one_cause",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(("account__in", ["cash", "position", "market", "fees", "unallocated"])),
                name="trading_ledger_account",
            ),
        ),
        migrations.RunSQL(BALANCED, BEFORE),
    ]
