"""Trades of many bots, as events in the store and the outbox: what the read models are made of."""

from uuid import UUID, uuid4

from django.db import connection

from apps.messages.base import slot_of

# Each trade is two events, as a fill publishes them: one of the bot, one of the account.
_APPEND = """
SELECT count(events.append_event(
    gen_random_uuid(), e.type, 1, e.aggregate, e.key, now(), b.user_id, gen_random_uuid(), NULL,
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', convert_to(e.payload::text, 'UTF8'),
    'kafka', %(topic)s, e.slot))
  FROM (SELECT n, gen_random_uuid() AS trade_id, gen_random_uuid() AS order_id,
               (%(bots)s::uuid[])[1 + n %% %(count)s] AS bot_id, (%(bot_slots)s::int[])[1 + n %% %(count)s] AS bot_slot,
               (%(keys)s::uuid[])[1 + n %% %(count)s] AS credential_id,
               (%(key_slots)s::int[])[1 + n %% %(count)s] AS key_slot,
               (%(users)s::uuid[])[1 + n %% %(count)s] AS user_id,
               CASE WHEN (n / %(count)s) %% 2 = 0 THEN 'buy' ELSE 'sell' END AS side
          FROM generate_series(0, %(trades)s - 1) AS n) AS b,
       LATERAL (SELECT jsonb_build_object(
           'credential_id', credential_id, 'user_id', user_id, 'trade_id', trade_id, 'order_id', order_id,
           'exchange_trade_id', 'T' || n, 'bot_id', bot_id, 'mode', 'paper', 'pair', 'BTC/USD', 'base_asset', 'BTC',
           'quote_asset', 'USD', 'side', side, 'price', '30000.1', 'volume', '0.01000000', 'cost', '300.00100',
           'fee', '0.78000', 'executed_at', '2026-01-01T00:00:00Z') AS account) AS a,
       LATERAL (VALUES
           ('bot.trade.executed', 'bot', bot_id, bot_slot,
            a.account || jsonb_build_object('run_id', bot_id, 'strategy', 'dca', 'market_time', NULL)),
           ('trade.executed', 'credential', credential_id, key_slot, a.account)
       ) AS e(type, aggregate, key, slot, payload)
"""


def append_trades(topic: str, *, trades: int, bots: int) -> list[UUID]:
    """Appends two events a trade, of `bots` bots of as many users in turn, addressed to the topic. Returns the bots."""
    ids: list[list[UUID]] = [[uuid4() for _ in range(bots)] for _ in range(3)]
    bot_ids, credential_ids, user_ids = ids
    with connection.cursor() as cursor:
        cursor.execute(
            _APPEND,
            {
                "topic": topic,
                "trades": trades,
                "count": bots,
                "bots": bot_ids,
                "bot_slots": [slot_of(bot) for bot in bot_ids],
                "keys": credential_ids,
                "key_slots": [slot_of(key) for key in credential_ids],
                "users": user_ids,
            },
        )
    return bot_ids
