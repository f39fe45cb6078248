"""What the relay may send now, without walking past the rows of parked keys."""

from django.db import migrations

INDEX = """
CREATE INDEX outbox_kafka_ready ON events.outbox (id)
 WHERE transport = 'kafka' AND next_attempt_at < 'infinity'
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0002_event_store")]

    operations = [migrations.RunSQL(INDEX, "DROP INDEX events.outbox_kafka_ready")]
