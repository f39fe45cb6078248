"""The REST API: principals from signed tokens, one error shape, cursors, the OpenAPI document."""

from datetime import timedelta
from typing import Any

from apps.core.quotas import Quota, Scope
from service_common.environment import Environment

TITLES = {
    "user": ("Muckard user service", "Accounts, tokens, sessions and onboarding."),
    "kraken": ("Muckard kraken service", "Exchange keys, market data, bots, their commands, status and trades."),
    "bot": ("Muckard bot service", "Health, readiness and metrics of the bots' workers."),
    "staff": ("Muckard platform", "Every public endpoint of the platform."),
    "paper": ("Muckard paper exchange", "A Kraken-compatible exchange for paper trading."),
}

# The user service has the sessions, and asks them on every request.
AUTHENTICATION = {"user": "apps.accounts.api.authentication.LiveSessionAuthentication"}

# What every service's document says besides.
RULES = (
    "A field in the body or a parameter in the query string that a call does not take is refused: 400 `unknown_field` "
    "with the nearest known name. So is a field that the call cannot change."
)

# Names for choices that several components of a service's document share, where the generator would make one up.
ENUM_NAMES: dict[str, dict[str, str]] = {
    "kraken": {
        "OrderStateEnum": "apps.bots.models.orders.OrderState.choices",
        "OrderKindEnum": "apps.bots.models.orders.ORDER_KINDS",
        "KindEnum": "apps.bots.models.definitions.CommandKind.choices",
        "BotStateEnum": "apps.bots.models.BotState",
        "ReceiptStateEnum": "apps.bots.selectors.command_receipts.CommandReceiptState",
    }
}


def rest_framework(env: Environment, service: str) -> dict[str, Any]:
    title, description = TITLES[service]
    return {
        "REST_FRAMEWORK": {
            "DEFAULT_AUTHENTICATION_CLASSES": [
                AUTHENTICATION.get(service, "apps.core.identity.principal.PrincipalAuthentication")
            ],
            "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
            "DEFAULT_PARSER_CLASSES": ["apps.core.api.parsers.StrictJSONParser"],
            "DEFAULT_SCHEMA_CLASS": "apps.core.api.auto_schema.PlatformSchema",
            "DEFAULT_PAGINATION_CLASS": "apps.core.api.pagination.NewestFirstPagination",
            "EXCEPTION_HANDLER": "apps.core.api.errors.exception_handler",
            "COERCE_DECIMAL_TO_STRING": True,
            "UNAUTHENTICATED_USER": None,
        },
        "SPECTACULAR_SETTINGS": {
            "TITLE": title,
            "DESCRIPTION": f"{description}\n\n{RULES}",
            "VERSION": "1.0.0",
            "OAS_VERSION": "3.1.1",
            "SERVERS": [
                {"url": "/", "description": "The host that gave this document."},
                {"url": "http://127.0.0.1:8080", "description": "The gateway of a platform on this machine."},
            ],
            "SERVE_INCLUDE_SCHEMA": False,
            # The page's scripts are served by the service itself, in the version that requirements/ pins.
            "SWAGGER_UI_DIST": "SIDECAR",
            "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
            # Without this Swagger UI sends the document's address to validator.swagger.io.
            "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
            "COMPONENT_SPLIT_REQUEST": True,
            "SCHEMA_PATH_PREFIX": "/api/v1",
            "GET_LIB_DOC_EXCLUDES": "apps.core.api.schema.bases_to_leave_out",
            "POSTPROCESSING_HOOKS": [
                "drf_spectacular.hooks.postprocess_schema_enums",
                "apps.core.api.schema.close_request_bodies",
                "apps.core.api.auto_schema.complete_document",
            ],
            "ENUM_NAME_OVERRIDES": ENUM_NAMES.get(service, {}),
        },
        "SIMPLE_JWT": _tokens(env),
        "QUOTAS": {
            Scope.READ: Quota(env.quota_read, batch=10),
            Scope.TRADE: Quota(env.quota_trade),
            Scope.ACCOUNT: Quota(env.quota_account),
            Scope.SAFETY: Quota(env.quota_safety),
        },
    }


def _tokens(env: Environment) -> dict[str, Any]:
    # Asymmetric: only the user service holds private keys, everyone verifies with public ones. The two keys here are
    # the first ones; apps.core.identity.verification_keys and apps.accounts.signing_keys know those that have followed.
    return {
        "ALGORITHM": "ES256",
        "SIGNING_KEY": env.jwt_private_key.get_secret_value() if env.jwt_private_key else "",
        "VERIFYING_KEY": env.jwt_public_key.get_secret_value() if env.jwt_public_key else "",
        "ACCESS_TOKEN_LIFETIME": timedelta(minutes=10),
        "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
        "ISSUER": "muckard",
        "AUDIENCE": "muckard-api",
        "LEEWAY": 5,
        "UPDATE_LAST_LOGIN": False,
        "AUTH_TOKEN_CLASSES": ("apps.core.identity.access_tokens.VerifiedAccessToken",),
        "TOKEN_USER_CLASS": "apps.core.identity.principal.Principal",
    }
