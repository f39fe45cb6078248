"""Dead letters of the brokers: listed, shown, redriven and purged by `manage.py dead_letters`."""
