"""A bot that its owner has deleted never starts again. Those deleted until now are taken over once; from now on the
stop of a deleted bot says it."""

from django.db import migrations, models

TAKE_OVER = """
DO $$ BEGIN
    -- Missing only where this app is installed without the bots'.
    IF to_regclass('kraken.bot') IS NOT NULL THEN
        INSERT INTO bots.trading_bot_switch (bot_id, deleted_at)
        SELECT id, deleted_at FROM kraken.bot WHERE deleted_at IS NOT NULL
        ON CONFLICT (bot_id) DO UPDATE SET deleted_at = excluded.deleted_at;
    END IF;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0002_ledger_rules")]

    operations = [
        migrations.AddField(model_name="botswitch", name="deleted_at", field=models.DateTimeField(null=True)),
        migrations.RunSQL(TAKE_OVER, migrations.RunSQL.noop),
    ]
