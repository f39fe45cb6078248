"""What is personal of a disconnected credential may be erased; everything else of it stays as it is."""

from django.db import migrations

_FUNCTION = """
CREATE OR REPLACE FUNCTION kraken.refuse_credential_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.user_id <> OLD.user_id OR NEW.mode <> OLD.mode THEN
        RAISE EXCEPTION 'A credential keeps its user and its mode.' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'disconnected' {unless} THEN
        RAISE EXCEPTION 'A disconnected credential stays as it is.' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""
_ERASED = """
AND NOT (
    NEW.label = 'closed' AND NEW.key_hint = '' AND NEW.ip_allowlist = '{}' AND NEW.last_error = ''
    AND to_jsonb(NEW) - '{label,key_hint,ip_allowlist,last_error}'::text[]
      = to_jsonb(OLD) - '{label,key_hint,ip_allowlist,last_error}'::text[]
)
"""


class Migration(migrations.Migration):
    dependencies = [("vault", "0002_credential_is_bound")]
    operations = [
        migrations.RunSQL(
            _FUNCTION.replace("{unless}", _ERASED),
            _FUNCTION.replace("{unless}", ""),
        )
    ]
