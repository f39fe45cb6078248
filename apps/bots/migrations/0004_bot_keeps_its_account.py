"""A bot's owner and mode never change; its key and pair not once a start was asked for. The services refuse it first."""

from django.db import migrations

CREATE = """
DROP TRIGGER bot_is_immutable ON kraken.bot;

CREATE OR REPLACE FUNCTION kraken.refuse_bot_change() RETURNS trigger LANGUAGE plpgsql
    SET search_path = kraken, pg_temp AS $$
BEGIN
    IF (OLD.user_id, OLD.mode) IS DISTINCT FROM (NEW.user_id, NEW.mode) THEN
        RAISE EXCEPTION 'the owner and mode of a bot never change' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF EXISTS (SELECT FROM bot_command WHERE bot_id = OLD.id AND kind = 'start') THEN
        RAISE EXCEPTION 'the key and pair of a bot never change once it has run'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER bot_is_immutable BEFORE UPDATE ON kraken.bot FOR EACH ROW
    WHEN ((OLD.user_id, OLD.mode, OLD.credential_id, OLD.pair)
          IS DISTINCT FROM (NEW.user_id, NEW.mode, NEW.credential_id, NEW.pair))
    EXECUTE FUNCTION kraken.refuse_bot_change();
"""

DROP = """
DROP TRIGGER bot_is_immutable ON kraken.bot;

CREATE OR REPLACE FUNCTION kraken.refuse_bot_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the owner, mode and pair of a bot never change' USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER bot_is_immutable BEFORE UPDATE ON kraken.bot FOR EACH ROW
    WHEN (OLD.user_id IS DISTINCT FROM NEW.user_id OR OLD.mode IS DISTINCT FROM NEW.mode
          OR OLD.pair IS DISTINCT FROM NEW.pair)
    EXECUTE FUNCTION kraken.refuse_bot_change();
"""


class Migration(migrations.Migration):
    dependencies = [("bots", "0003_run_event")]

    operations = [migrations.RunSQL(CREATE, DROP)]
