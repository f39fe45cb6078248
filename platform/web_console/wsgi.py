import os

from service_common import wsgi

os.environ["DJANGO_SETTINGS_MODULE"] = "web_console.settings"
application = wsgi.application()
