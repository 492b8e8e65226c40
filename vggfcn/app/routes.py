"""The addresses beside the page's own: files that are made when somebody asks for them."""

from collections.abc import Callable

import fastapi
from fastapi.responses import PlainTextResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from vggfcn.app import rendering as drawing
from vggfcn.app.sessions import Sessions
from vggfcn.errors import VGGFCNError
from vggfcn.maps.overlay import OPACITY

LOOPBACK = ["localhost", "127.0.0.1"]


def routes(sessions: Sessions, host: str | None) -> fastapi.FastAPI:
    """An application with these addresses; with a loopback `host`, it answers to names of this machine only."""
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    if host in LOOPBACK:
        # Else a web page elsewhere could reach the server through a name of its own that leads here.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK)

    def png(session: str, opacity: float = OPACITY) -> Response:
        if not 0 < opacity <= 1:
            return PlainTextResponse(f"opacity: expected more than 0 and at most 1, got {opacity}", 400)
        return _file(lambda: drawing.png(sessions.last(session), opacity), "image/png", "heatmap.png")

    def npy(session: str) -> Response:
        return _file(lambda: drawing.npy(sessions.last(session)), "application/octet-stream", "probabilities.npy")

    app.add_api_route("/files/heatmap.png", png)
    app.add_api_route("/files/probabilities.npy", npy)
    return app


def _file(make: Callable[[], bytes], media_type: str, name: str) -> Response:
    try:
        content = make()
    except VGGFCNError as error:
        return PlainTextResponse(str(error), 404)
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})
