"""The console: the traders' pages. It has no database and asks the other services over the public API alone."""

from django.utils.translation import gettext_lazy as _

from apps.console.session.names import cookie_settings
from apps.console.static_files import digest_of_static_files
from service_common.environment import environment
from service_common.settings import service_settings

_is_secure = environment("console").public_url.startswith("https://")

globals().update(
    service_settings(
        service="console",
        project="web_console",
        apps=["django.forms", "django.contrib.messages", "apps.console"],
        middleware=[
            "django.middleware.locale.LocaleMiddleware",
            "apps.console.middleware.PageHeadersMiddleware",
            "apps.console.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
            "apps.console.middleware.RefusalMiddleware",
        ],
        # Each version of the files has an address of its own: browsers keep them for good, and modules of JavaScript
        # import each other by relative names.
        STATIC_URL=f"/app/static/{digest_of_static_files()}/",
        STATICFILES_FINDERS=["apps.console.static_files.ConsoleFinder"],
        WHITENOISE_IMMUTABLE_FILE_TEST="^/app/static/",
        WHITENOISE_ADD_HEADERS_FUNCTION=None,
        LANGUAGE_CODE="en",
        LANGUAGES=[("en", _("English")), ("de", _("German"))],
        USE_I18N=True,
        CSRF_FAILURE_VIEW="apps.console.pages.errors.form_refused",
        MESSAGE_STORAGE="apps.console.session.messages.Storage",
        FORM_RENDERER="django.forms.renderers.TemplatesSetting",
        **cookie_settings(is_secure=_is_secure),
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.template.context_processors.i18n",
                        "django.contrib.messages.context_processors.messages",
                        "apps.console.context.console",
                    ]
                },
            }
        ],
    )
)
