from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_lockout_counter")]

    operations = [
        migrations.AlterField(
            model_name="lockoutcounter",
            name="kind",
            field=models.CharField(
                choices=[("account", "Account"), ("address", "Address"), ("step_up", "Step Up")], max_length=10
            ),
        ),
    ]
