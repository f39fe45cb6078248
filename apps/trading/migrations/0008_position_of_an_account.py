"""A position belongs to a bot on one exchange account, an order to the account of its run, and a run to its bot's account.

Until now a bot's key could be changed. A position of a bot that traded on several accounts is divided by what was filled
and is reserved on each. Where that is not possible, because coins of one account were sold on another, the amounts stay
with the account of the bot's last run, on which the bot has acted.
"""

from django.db import migrations, models

TAKE_OVER = r"""
CREATE TEMPORARY TABLE account ON COMMIT DROP AS
SELECT i.bot_id, i.pair, i.credential_id,
       coalesce(sum(CASE i.side WHEN 'buy' THEN i.filled_volume ELSE -i.filled_volume END), 0) AS base_volume,
       coalesce(sum(CASE i.side WHEN 'buy' THEN i.filled_cost ELSE -i.filled_cost END + i.filled_fee), 0) AS quote_spent,
       coalesce(sum(i.filled_fee), 0) AS quote_fees,
       coalesce(sum(i.reserved_base), 0) AS base_reserved,
       coalesce(sum(i.reserved_quote), 0) AS quote_reserved
  FROM bots.trading_order_intent i GROUP BY i.bot_id, i.pair, i.credential_id;

CREATE TEMPORARY TABLE several ON COMMIT DROP AS
SELECT bot_id, pair, bool_and(base_volume >= base_reserved) AS can_be_divided
  FROM account GROUP BY bot_id, pair HAVING count(*) > 1;

UPDATE bots.trading_position p SET credential_id = (
    SELECT r.credential_id FROM bots.trading_bot_run r
     WHERE r.bot_id = p.bot_id ORDER BY r.pair = p.pair DESC, r.started_at DESC LIMIT 1);
-- Without a run there was no order, so nothing is held.
DELETE FROM bots.trading_position WHERE credential_id IS NULL;

INSERT INTO bots.trading_position (bot_id, credential_id, pair, base_asset, quote_asset, base_volume, quote_spent,
                                   quote_fees, base_reserved, quote_reserved, updated_at)
SELECT p.bot_id, a.credential_id, p.pair, p.base_asset, p.quote_asset, 0, 0, 0, 0, 0, p.updated_at
  FROM account a JOIN bots.trading_position p ON p.bot_id = a.bot_id AND p.pair = a.pair
 WHERE a.credential_id <> p.credential_id;

UPDATE bots.trading_position p
   SET base_volume = coalesce(a.base_volume, 0), quote_spent = coalesce(a.quote_spent, 0),
       quote_fees = coalesce(a.quote_fees, 0), base_reserved = coalesce(a.base_reserved, 0),
       quote_reserved = coalesce(a.quote_reserved, 0)
  FROM several s LEFT JOIN account a ON a.bot_id = s.bot_id AND a.pair = s.pair
 WHERE s.can_be_divided AND p.bot_id = s.bot_id AND p.pair = s.pair AND p.credential_id = a.credential_id;

UPDATE bots.trading_position p SET base_volume = 0, quote_spent = 0, quote_fees = 0, base_reserved = 0, quote_reserved = 0
  FROM several s
 WHERE s.can_be_divided AND p.bot_id = s.bot_id AND p.pair = s.pair AND NOT EXISTS (
       SELECT FROM account a WHERE a.bot_id = p.bot_id AND a.pair = p.pair AND a.credential_id = p.credential_id);
"""

BOUND = r"""
-- For the references: a run's account never differs from that of its orders, nor an order's from that of its fills.
ALTER TABLE bots.trading_bot_run ADD CONSTRAINT trading_bot_run_account UNIQUE (id, bot_id, credential_id, pair);
ALTER TABLE bots.trading_order_intent ADD CONSTRAINT trading_intent_account UNIQUE (id, bot_id, credential_id);
ALTER TABLE bots.trading_order_intent ADD CONSTRAINT trading_intent_of_its_runs_account
    FOREIGN KEY (run_id, bot_id, credential_id, pair)
    REFERENCES bots.trading_bot_run (id, bot_id, credential_id, pair) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE bots.trading_fill ADD CONSTRAINT trading_fill_of_its_orders_account
    FOREIGN KEY (intent_id, bot_id, credential_id)
    REFERENCES bots.trading_order_intent (id, bot_id, credential_id) DEFERRABLE INITIALLY DEFERRED;

CREATE FUNCTION bots.trading_run_keeps_its_account() RETURNS trigger LANGUAGE plpgsql
    SET search_path = bots, pg_temp AS $$
DECLARE
    v_last trading_bot_run;
BEGIN
    SELECT * INTO v_last FROM trading_bot_run WHERE bot_id = NEW.bot_id ORDER BY started_at DESC LIMIT 1;
    IF FOUND AND (v_last.credential_id, v_last.pair) <> (NEW.credential_id, NEW.pair) THEN
        RAISE EXCEPTION 'the bot % has run with another key or pair', NEW.bot_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER trading_bot_run_keeps_its_account BEFORE INSERT ON bots.trading_bot_run
    FOR EACH ROW EXECUTE FUNCTION bots.trading_run_keeps_its_account();
"""

UNBOUND = """
DROP TRIGGER trading_bot_run_keeps_its_account ON bots.trading_bot_run;
DROP FUNCTION bots.trading_run_keeps_its_account();
ALTER TABLE bots.trading_fill DROP CONSTRAINT trading_fill_of_its_orders_account;
ALTER TABLE bots.trading_order_intent DROP CONSTRAINT trading_intent_of_its_runs_account;
ALTER TABLE bots.trading_order_intent DROP CONSTRAINT trading_intent_account;
ALTER TABLE bots.trading_bot_run DROP CONSTRAINT trading_bot_run_account;
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0007_switches_move_to_risk")]

    operations = [
        migrations.AddField(model_name="position", name="credential_id", field=models.UUIDField(null=True)),
        migrations.RemoveConstraint(model_name="position", name="trading_position_bot_pair"),
        migrations.RunSQL(TAKE_OVER, migrations.RunSQL.noop),
        migrations.AlterField(model_name="position", name="credential_id", field=models.UUIDField()),
        migrations.AddConstraint(
            model_name="position",
            constraint=models.UniqueConstraint(
                fields=["bot_id", "credential_id", "pair"], name="trading_position_one_a_bot"
            ),
        ),
        migrations.RunSQL(BOUND, UNBOUND),
    ]
