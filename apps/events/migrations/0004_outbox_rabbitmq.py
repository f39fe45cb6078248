"""What the dispatcher sends next, without walking past what waits for Kafka."""

from django.db import migrations

INDEX = "CREATE INDEX outbox_rabbitmq ON events.outbox (id) WHERE transport = 'rabbitmq'"


class Migration(migrations.Migration):
    dependencies = [("events", "0003_outbox_ready")]

    operations = [migrations.RunSQL(INDEX, "DROP INDEX events.outbox_rabbitmq")]
