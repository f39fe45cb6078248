from django.db import migrations, models
from django.db.models import Q

INTERVALS = """
UPDATE trading_bot_run SET interval_minutes = (config->>'interval_minutes')::int WHERE config ? 'interval_minutes'
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0009_ticked_at")]

    operations = [
        migrations.AddField(
            model_name="botrun",
            name="interval_minutes",
            field=models.PositiveIntegerField(default=60, help_text="Of the candles that it decides on."),
            preserve_default=False,
        ),
        migrations.AddField(model_name="botrun", name="is_idle", field=models.BooleanField(default=False)),
        migrations.AddIndex(
            model_name="botrun",
            index=models.Index(
                fields=["mode", "pair", "interval_minutes"], condition=Q(state="running"), name="trading_bot_run_series"
            ),
        ),
        migrations.CreateModel(
            name="CandleSeries",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("mode", models.CharField(max_length=5)),
                ("pair", models.CharField(max_length=20)),
                ("interval_minutes", models.PositiveIntegerField()),
                ("last_candle_at", models.DateTimeField(null=True)),
                ("seen_at", models.DateTimeField(null=True)),
                ("looked_at", models.DateTimeField(null=True)),
                ("closed_after", models.DateTimeField(null=True)),
                ("closed_by", models.DateTimeField(null=True)),
                ("misses", models.PositiveIntegerField(default=0)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("next_look_at", models.DateTimeField()),
            ],
            options={
                "db_table": "trading_candle_series",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("mode", "pair", "interval_minutes"), name="trading_candle_series_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("mode__in", ["paper", "live"])), name="trading_candle_series_mode"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("last_candle_at", None), ("seen_at", None)),
                            models.Q(("last_candle_at__isnull", False), ("seen_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="trading_candle_series_seen",
                    ),
                ],
            },
        ),
        migrations.RunSQL(INTERVALS, migrations.RunSQL.noop),
    ]
