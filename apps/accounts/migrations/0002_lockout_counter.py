from django.db import migrations


class Migration(migrations.Migration):
    """The class is renamed; its table keeps its name, so nothing happens in the database."""

    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.RenameModel(old_name="LoginGuard", new_name="LockoutCounter")]
