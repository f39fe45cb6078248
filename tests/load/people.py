"""Traders with bots and their trades, written straight into the database: what is measured begins after that.

Run as a program, with the environment of a profile: `python -m tests.load.people 1000`.
"""

import argparse
import os
from datetime import timedelta
from decimal import Decimal

PASSWORD = "correct horse battery staple"
DOMAIN = "load.example.com"


def email_of(number: int) -> str:
    return f"trader{number}@{DOMAIN}"


def address_of(number: int) -> str:
    """A network of their own each."""
    return f"10.{number >> 8 & 255}.{number & 255}.7"


def make(count: int, *, first: int, bots_each: int, trades_each: int) -> None:
    """Traders `first` to `first + count - 1`, unless they are there already, with bots that have traded."""
    from django.contrib.auth.hashers import make_password
    from django.utils import timezone

    from apps.accounts.models import User
    from apps.bots.models import Bot, BotStatus, BotTrade
    from apps.core.ids import new_id

    there = set(User.objects.filter(email__endswith=f"@{DOMAIN}").values_list("email", flat=True))
    now, password = timezone.now(), make_password(PASSWORD)
    users = [
        User(id=new_id(), email=email_of(number), password=password, roles=["trader"], created_at=now,
             email_verified_at=now)
        for number in range(first, first + count)
        if email_of(number) not in there
    ]  # fmt: skip
    bots = [
        Bot(user_id=user.id, name=f"Load {number}", credential_id=new_id(), mode="paper", pair="XBTUSD",
            strategy="sma_cross", parameters={"fast": 2, "slow": 4}, interval_minutes=1440, quote_budget=200,
            created_at=now, updated_at=now)
        for user in users
        for number in range(bots_each)
    ]  # fmt: skip
    statuses = [
        BotStatus(bot_id=bot.id, user_id=bot.user_id, last_seq=trades_each, trades=trades_each, trade_seq=trades_each,
                  since=now, base_asset="XBT", quote_asset="USD", last_trade_at=now)
        for bot in bots
    ]  # fmt: skip
    trades = [
        BotTrade(trade_id=new_id(), bot_id=bot.id, seq=seq, run_id=new_id(), user_id=bot.user_id, order_id=new_id(),
                 exchange_trade_id=f"T{seq}", mode="paper", strategy="sma_cross", pair="XBTUSD", side="buy",
                 price=Decimal(10000), volume=Decimal("0.001"), cost=Decimal(10), fee=Decimal("0.026"),
                 executed_at=now - timedelta(minutes=trades_each - seq))
        for bot in bots
        for seq in range(1, trades_each + 1)
    ]  # fmt: skip
    User.objects.bulk_create(users, batch_size=2000)
    Bot.objects.bulk_create(bots, batch_size=2000)
    BotStatus.objects.bulk_create(statuses, batch_size=2000)
    BotTrade.objects.bulk_create(trades, batch_size=2000)


if __name__ == "__main__":
    os.environ |= {"SERVICE": "staff", "MUCKARD_DB_ROLE": "owner", "DJANGO_SETTINGS_MODULE": "staff_site.settings"}
    import django

    django.setup()
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--bots", type=int, default=1)
    parser.add_argument("--trades", type=int, default=20, help="of each bot")
    asked = parser.parse_args()
    make(asked.count, first=asked.first, bots_each=asked.bots, trades_each=asked.trades)
