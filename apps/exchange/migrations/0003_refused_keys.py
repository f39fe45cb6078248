from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("exchange", "0002_exchange_clock")]

    operations = [
        migrations.AddField(
            model_name="exchangenonce",
            name="refused_code",
            field=models.CharField(blank=True, db_default="", default="", max_length=80),
        ),
        migrations.AddField(model_name="exchangenonce", name="refused_at", field=models.DateTimeField(null=True)),
        migrations.AddField(model_name="exchangenonce", name="refused_until", field=models.DateTimeField(null=True)),
    ]
