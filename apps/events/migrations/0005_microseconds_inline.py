"""PostgreSQL copies a function's body into the caller only where it is declared no steadier than what it calls, and
extract() counts as stable. Declared immutable, it was planned anew, twice, in every transaction that publishes."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("events", "0004_outbox_rabbitmq")]

    operations = [
        migrations.RunSQL(
            "ALTER FUNCTION events.microseconds(timestamptz) STABLE",
            "ALTER FUNCTION events.microseconds(timestamptz) IMMUTABLE",
        )
    ]
