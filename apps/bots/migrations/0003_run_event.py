from django.db import migrations


class Migration(migrations.Migration):
    """The class is renamed; its table keeps its name, so nothing happens in the database."""

    dependencies = [("bots", "0002_bot_is_immutable")]

    operations = [migrations.RenameModel(old_name="BotRunNews", new_name="RunEvent")]
