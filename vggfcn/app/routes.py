"""The addresses of files to download, which are made on request."""

from collections.abc import Callable

import fastapi
from fastapi.responses import PlainTextResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from vggfcn.app import rendering
from vggfcn.app.sessions import Sessions
from vggfcn.errors import VGGFCNError
from vggfcn.maps.overlay import OPACITY

LOOPBACK = ["localhost", "127.0.0.1"]


def routes(sessions: Sessions, host: str | None) -> fastapi.FastAPI:
    """An application that serves the files of these sessions.

    If `host` is one of `LOOPBACK`, it accepts requests under this machine's local names only. Answers 404 if a session
    has no map and 400 for an opacity outside (0, 1].
    """
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    if host in LOOPBACK:
        # Otherwise a foreign web page could reach this server by a domain name that resolves to it (DNS rebinding).
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK)

    def png(session: str, opacity: float = OPACITY) -> Response:
        if not 0 < opacity <= 1:
            return PlainTextResponse(f"opacity: expected more than 0 and at most 1, got {opacity}", 400)
        return _file(lambda: rendering.png(sessions.last(session), opacity), "image/png", "heatmap.png")

    def npy(session: str) -> Response:
        return _file(lambda: rendering.npy(sessions.last(session)), "application/octet-stream", "probabilities.npy")

    app.add_api_route("/files/heatmap.png", png)
    app.add_api_route("/files/probabilities.npy", npy)
    return app


def _file(make: Callable[[], bytes], media_type: str, name: str) -> Response:
    try:
        content = make()
    except VGGFCNError as error:
        return PlainTextResponse(str(error), 404)
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})
