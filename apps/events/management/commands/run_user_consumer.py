"""The event consumer of the user service: its groups, under a name of their own in the process table."""

from apps.events.management.commands.run_event_consumer import Command as EventConsumer


class Command(EventConsumer):
    """As `run_event_consumer`, in a process that reports as `user-consumer`."""
