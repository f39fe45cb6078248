"""Real processes for tests: Celery workers whose tasks do as a test has told them, and management commands."""
