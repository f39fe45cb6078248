"""A bot's owner, mode and pair never change: the services refuse it, and so does the table."""

from django.db import migrations

CREATE = """
CREATE FUNCTION kraken.refuse_bot_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the owner, mode and pair of a bot never change' USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER bot_is_immutable BEFORE UPDATE ON kraken.bot FOR EACH ROW
    WHEN (OLD.user_id IS DISTINCT FROM NEW.user_id OR OLD.mode IS DISTINCT FROM NEW.mode
          OR OLD.pair IS DISTINCT FROM NEW.pair)
    EXECUTE FUNCTION kraken.refuse_bot_change();
"""

DROP = "DROP TRIGGER bot_is_immutable ON kraken.bot; DROP FUNCTION kraken.refuse_bot_change()"


class Migration(migrations.Migration):
    dependencies = [("bots", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, DROP)]
