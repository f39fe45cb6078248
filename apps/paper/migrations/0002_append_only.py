"""Trades and ledger entries are facts: whoever asks, they are not changed and not deleted."""

from django.db import migrations

APPEND_ONLY = """
CREATE FUNCTION paper.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'paper.% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER paper_trade_is_append_only BEFORE UPDATE OR DELETE ON paper.paper_trade
    FOR EACH ROW EXECUTE FUNCTION paper.refuse_change();
CREATE TRIGGER paper_ledger_entry_is_append_only BEFORE UPDATE OR DELETE ON paper.paper_ledger_entry
    FOR EACH ROW EXECUTE FUNCTION paper.refuse_change();
"""

CHANGEABLE = """
DROP TRIGGER paper_trade_is_append_only ON paper.paper_trade;
DROP TRIGGER paper_ledger_entry_is_append_only ON paper.paper_ledger_entry;
DROP FUNCTION paper.refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("paper", "0001_initial")]

    operations = [migrations.RunSQL(APPEND_ONLY, CHANGEABLE)]
