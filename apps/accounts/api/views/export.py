"""The export of everything that the platform holds of the caller."""

from django.http import FileResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from apps.accounts.api.throttles import ExportThrottle
from apps.accounts.api.views.base import NO_STORE, LogInView
from apps.accounts.services.export import user_data_export
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.identity.principal import principal_of

ARCHIVE = OpenApiResponse(
    OpenApiTypes.BINARY,
    description="A ZIP archive of JSON lines; `manifest.json` in it has the list and is its last entry.",
)


class ZipRenderer(BaseRenderer):
    """Lets callers accept the archive, which no renderer makes."""

    media_type = "application/zip"
    format = "zip"


@extend_schema(tags=["Account"])
class UserExportView(LogInView):
    throttle_classes = (ExportThrottle,)
    renderer_classes = (JSONRenderer, ZipRenderer)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """What is rendered are refusals, as JSON whatever the caller accepts."""
        super().perform_content_negotiation(request, force)
        return JSONRenderer(), JSONRenderer.media_type

    @operation(responses={200: ARCHIVE, **error_responses(401, 403, 429, 503)}, media_type=ZipRenderer.media_type)
    def get(self, request: Request) -> FileResponse:
        """Download everything that the platform holds of you, as a ZIP archive. Needs a step-up.

        `SERVICE/SECTION.jsonl` has one JSON object a line. `manifest.json` comes last: `files` lists each with its
        number of `rows` and `sha256`. An archive without it was cut off. It has no secret: neither passwords nor keys,
        nor digests of them. 503 where a service does not answer to the end: then there is no archive. 429 after six in
        an hour.
        """
        caller = principal_of(request)
        export = user_data_export(user_id=caller.user_id, assurance=caller.assurance, now=timezone.now())
        name = f"muckard-{export.made_at:%Y-%m-%d}-{export.id}.zip"
        return FileResponse(
            export.file, as_attachment=True, filename=name, content_type="application/zip", headers=NO_STORE
        )
