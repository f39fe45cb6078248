"""Consumer groups: handlers of events, and their delivery from Kafka and RabbitMQ.

An app's `consumers.py` registers its handlers with @consumes; the process that runs the group delivers to them.
"""
