"""An operator accepts a difference by name and reason."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("risk", "0005_caps"),
    ]

    operations = [
        migrations.AddField(
            model_name="accountmovement",
            name="because",
            field=models.CharField(blank=True, max_length=500),
        ),
    ]
