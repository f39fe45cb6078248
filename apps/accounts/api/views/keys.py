"""The public keys that verify access tokens (JWKS)."""

from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.http import condition
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.views.base import OpenView
from apps.accounts.tokens import public_jwks
from apps.core.api.requests import operation


def _etag(_: Request) -> str:
    return f'"{public_jwks()["keys"][0]["kid"]}"'


@extend_schema(tags=["Log-in"])
@method_decorator(cache_control(public=True, max_age=3600), name="dispatch")
@method_decorator(condition(etag_func=_etag), name="dispatch")
class PublicKeysView(OpenView):
    @operation(responses={200: {"type": "object", "properties": {"keys": {"type": "array", "items": {}}}}})
    def get(self, request: Request) -> Response:
        """The keys that verify access tokens, as a JSON Web Key Set (RFC 7517)."""
        return Response(public_jwks(), content_type="application/json")
