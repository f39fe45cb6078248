"""What is urgent among what waits for the dispatcher, and whether something older of the same key waits as well."""

from django.db import migrations

INDEXES = """
CREATE INDEX outbox_rabbitmq_queue ON events.outbox (destination, id) WHERE transport = 'rabbitmq';
CREATE INDEX outbox_rabbitmq_key ON events.outbox (key, id) WHERE transport = 'rabbitmq';
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0005_microseconds_inline")]

    operations = [migrations.RunSQL(INDEXES, "DROP INDEX events.outbox_rabbitmq_queue, events.outbox_rabbitmq_key")]
