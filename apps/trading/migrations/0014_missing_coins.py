"""What an exchange has less than a position, and lots that are written off for it."""

from decimal import Decimal

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0013_profit_mark"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="ledgerentry",
            name="trading_ledger_account",
        ),
        migrations.RemoveConstraint(
            model_name="release",
            name="trading_release_reason",
        ),
        migrations.AddField(
            model_name="position",
            name="base_missing",
            field=models.DecimalField(decimal_places=10, default=Decimal("0"), max_digits=30),
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
                    ("dust", "Lots that the bot bought and the exchange does not have"),
                ],
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="release",
            name="reason",
            field=models.CharField(
                choices=[
                    ("bot_deleted", "Bot Deleted"),
                    ("key_disconnected", "Key Disconnected"),
                    ("missing", "The exchange had a lot or two less"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(("account__in", ["cash", "position", "market", "fees", "unallocated", "dust"])),
                name="trading_ledger_account",
            ),
        ),
        migrations.AddConstraint(
            model_name="position",
            constraint=models.CheckConstraint(
                condition=models.Q(("base_missing__gte", 0)), name="trading_position_missing"
            ),
        ),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason__in", ["bot_deleted", "key_disconnected", "missing"])),
                name="trading_release_reason",
            ),
        ),
    ]
