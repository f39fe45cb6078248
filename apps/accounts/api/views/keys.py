"""The public keys that verify access tokens (JWKS)."""

from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.http import condition
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import serializers
from apps.accounts.api.views.base import OpenView
from apps.accounts.signing_keys import JWKS_MAX_AGE
from apps.accounts.tokens import public_jwks
from apps.core.api.requests import operation


def _etag(_: Request) -> str:
    return f'"{".".join(key["kid"] for key in public_jwks()["keys"])}"'


@extend_schema(tags=["Log-in"])
@method_decorator(cache_control(public=True, max_age=int(JWKS_MAX_AGE.total_seconds())), name="dispatch")
@method_decorator(condition(etag_func=_etag), name="dispatch")
class PublicKeysView(OpenView):
    @operation(
        operation_id="public_keys",
        responses={200: serializers.KeySetSerializer, 304: OpenApiResponse(description="As the ETag says.")},
    )
    def get(self, request: Request) -> Response:
        """The keys that verify access tokens, as a JSON Web Key Set (RFC 7517)."""
        return Response(public_jwks(), content_type="application/json")
