"""What makes a Celery worker ours: its queues, its consumer, its sign of life, its name in the executions."""
