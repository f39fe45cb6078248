"""Extensions of the Celery worker: queues, consumer, heartbeat row, and the worker's identity in executions."""
