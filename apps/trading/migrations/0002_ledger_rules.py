"""What a check on one row cannot say: a fill's postings add up to zero, and books are never rewritten."""

from django.db import migrations

BALANCED = r"""
CREATE FUNCTION bots.trading_fill_is_balanced() RETURNS trigger LANGUAGE plpgsql SET search_path = bots, pg_temp AS $$
DECLARE
    v_asset text;
    v_sum numeric;
BEGIN
    SELECT asset, sum(amount) INTO v_asset, v_sum FROM trading_ledger_entry
     WHERE fill_id = NEW.fill_id GROUP BY asset HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the postings of fill % do not add up: % % are left over', NEW.fill_id, v_sum, v_asset
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

-- At commit: by then all postings of the fill are there.
CREATE CONSTRAINT TRIGGER trading_ledger_is_balanced AFTER INSERT ON bots.trading_ledger_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION bots.trading_fill_is_balanced();
"""

APPEND_ONLY = r"""
CREATE FUNCTION bots.trading_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER trading_ledger_is_append_only BEFORE UPDATE OR DELETE ON bots.trading_ledger_entry
    FOR EACH ROW EXECUTE FUNCTION bots.trading_refuse_change();
CREATE TRIGGER trading_fill_is_append_only BEFORE UPDATE OR DELETE ON bots.trading_fill
    FOR EACH ROW EXECUTE FUNCTION bots.trading_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0001_initial")]

    operations = [
        migrations.RunSQL(
            BALANCED,
            "DROP TRIGGER trading_ledger_is_balanced ON bots.trading_ledger_entry;"
            "DROP FUNCTION bots.trading_fill_is_balanced()",
        ),
        migrations.RunSQL(
            APPEND_ONLY,
            "DROP TRIGGER trading_ledger_is_append_only ON bots.trading_ledger_entry;"
            "DROP TRIGGER trading_fill_is_append_only ON bots.trading_fill;"
            "DROP FUNCTION bots.trading_refuse_change()",
        ),
    ]
