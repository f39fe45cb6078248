import os

from service_common import wsgi

os.environ["DJANGO_SETTINGS_MODULE"] = "paper_exchange.settings"
application = wsgi.application()

import celery_app  # noqa: E402, F401  (without it this process would publish with Celery's default application)
from apps.paper.market.listing import listed_markets  # noqa: E402

# All candles are read and checked before the first request: with unusable ones the process does not come up.
# `manage.py check_market_data` says the same in one sentence, before anything is started.
listed_markets()
