"""Projections of bots: the names by which `manage.py replay_events --into` rebuilds their read models."""

from apps.bots.consumers import ALERTS, READ_MODELS
from apps.bots.models import Alert
from apps.bots.services import read_models
from apps.events.consumers.projections import register_projection

BOT_READ_MODELS = register_projection("bot-read-models", group=READ_MODELS, models=read_models.MODELS)
BOT_ALERTS = register_projection("alerts", group=ALERTS, models=(Alert,))
