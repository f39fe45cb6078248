"""A difference counts by how long it has stayed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("risk", "0003_accounts"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="accountasset",
            name="risk_account_asset_suspected",
        ),
        migrations.RemoveField(
            model_name="accountasset",
            name="suspected_changes",
        ),
        migrations.AddField(
            model_name="accountasset",
            name="suspected_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddConstraint(
            model_name="accountasset",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("suspected", None), ("suspected_at", None)),
                    models.Q(("suspected__isnull", False), ("suspected_at__isnull", False)),
                    _connector="OR",
                ),
                name="risk_account_asset_suspected",
            ),
        ),
    ]
