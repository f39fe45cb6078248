"""The log of the staff site named accounts by their e-mail address, and nothing may change its rows from now on."""

from django.db import migrations

# The table is that of Django's admin, which only the staff site has.
NAME_BY_ID = """
DO $$
BEGIN
    IF to_regclass('users.django_admin_log') IS NOT NULL THEN
        UPDATE users.django_admin_log SET object_repr = left(coalesce(object_id, ''), 200);
    END IF;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0012_log_in_reports")]

    operations = [migrations.RunSQL(NAME_BY_ID, migrations.RunSQL.noop)]
