"""What a credential is bound to never changes, whoever asks: its user and its mode. A disconnected one stays so."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION kraken.refuse_credential_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.user_id <> OLD.user_id OR NEW.mode <> OLD.mode THEN
        RAISE EXCEPTION 'A credential keeps its user and its mode.' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'disconnected' THEN
        RAISE EXCEPTION 'A disconnected credential stays as it is.' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER vault_credential_is_bound BEFORE UPDATE ON kraken.vault_credential
    FOR EACH ROW EXECUTE FUNCTION kraken.refuse_credential_change();
"""

BACKWARD = """
DROP TRIGGER vault_credential_is_bound ON kraken.vault_credential;
DROP FUNCTION kraken.refuse_credential_change();
"""


class Migration(migrations.Migration):
    dependencies = [("vault", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
