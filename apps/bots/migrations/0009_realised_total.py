from django.db import migrations

import apps.core.money

BACKFILL = """
UPDATE bot_trade AS t SET realised_total = s.total
  FROM (SELECT trade_id, sum(realised_pnl) OVER (PARTITION BY bot_id ORDER BY seq) AS total FROM bot_trade) AS s
 WHERE s.trade_id = t.trade_id AND t.realised_total IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [("bots", "0008_lists_by_filter")]

    operations = [
        migrations.AddField(
            model_name="bottrade",
            name="realised_total",
            field=apps.core.money.money_field(null=True),
        ),
        migrations.RunSQL(BACKFILL, migrations.RunSQL.noop),
    ]
