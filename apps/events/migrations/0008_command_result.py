from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0007_partitions_from_default")]

    operations = [
        migrations.AddField(model_name="commandexecution", name="result", field=models.JSONField(null=True)),
    ]
