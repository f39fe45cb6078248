from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("bots", "0007_risk"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="accounttrade",
            index=models.Index(fields=["bot_id", "-executed_at", "-trade_id"], name="account_trade_of_bot"),
        ),
        migrations.AddIndex(
            model_name="accounttrade",
            index=models.Index(fields=["user_id", "pair", "-executed_at", "-trade_id"], name="account_trade_of_pair"),
        ),
        migrations.AddIndex(
            model_name="accounttrade",
            index=models.Index(fields=["user_id", "mode", "-executed_at", "-trade_id"], name="account_trade_of_mode"),
        ),
        migrations.AddIndex(
            model_name="botorder",
            index=models.Index(fields=["user_id", "state", "-planned_at", "-order_id"], name="bot_order_of_state"),
        ),
        migrations.AddIndex(
            model_name="botorder",
            index=models.Index(fields=["user_id", "pair", "-planned_at", "-order_id"], name="bot_order_of_pair"),
        ),
        migrations.AddIndex(
            model_name="botorder",
            index=models.Index(fields=["user_id", "mode", "-planned_at", "-order_id"], name="bot_order_of_mode"),
        ),
        migrations.AddIndex(
            model_name="bottrade",
            index=models.Index(fields=["bot_id", "executed_at"], name="bot_trade_by_time"),
        ),
    ]
