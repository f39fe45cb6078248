"""A filled order may be a lot or two short of its volume where the exchange closed it so."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0004_reconciled_history"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="orderintent",
            name="trading_intent_filled_is_whole",
        ),
        migrations.AddConstraint(
            model_name="orderintent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "filled"), _negated=True),
                    ("filled_volume", models.F("volume")),
                    models.Q(("filled_volume__gt", 0), models.Q(("state_code", ""), _negated=True)),
                    _connector="OR",
                ),
                name="trading_intent_filled_is_whole",
            ),
        ),
    ]
