"""The switches of bots belong to `apps/risk`: the kraken service sets them in the transaction of a stop."""

from django.db import migrations

MOVE = """
ALTER TABLE bots.trading_bot_switch SET SCHEMA risk;
ALTER TABLE risk.trading_bot_switch RENAME TO risk_bot_switch;
"""
MOVE_BACK = """
ALTER TABLE risk.risk_bot_switch RENAME TO trading_bot_switch;
ALTER TABLE risk.trading_bot_switch SET SCHEMA bots;
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0006_refusals"), ("risk", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel("BotSwitch")],
            database_operations=[migrations.RunSQL(MOVE, MOVE_BACK)],
        )
    ]
