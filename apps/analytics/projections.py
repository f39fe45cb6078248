"""The daily figures under the name by which `manage.py replay_events --into` rebuilds them."""

from apps.analytics.consumers import ANALYTICS
from apps.analytics.models import DailyFigure
from apps.events.consumers.projections import register_projection

DAILY_FIGURES = register_projection("daily-figures", group=ANALYTICS, models=(DailyFigure,))
