"""The addresses of this server's own files: uploads, samples, drawings and downloads made on request."""

from collections.abc import Callable
from typing import Any

import fastapi
from fastapi import Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from vggfcn.app import rendering
from vggfcn.app.choices import SAMPLES
from vggfcn.app.safety.bodies import RequestError, limited, visitor_of
from vggfcn.app.safety.uploads import MAX_UPLOAD, UPLOAD_SECONDS
from vggfcn.app.sessions import Result, Sessions
from vggfcn.errors import ImageError, VGGFCNError
from vggfcn.maps.overlay import OPACITY

_FORM_BYTES = 2**14  # of an upload besides the file
_PRIVATE = {"Cache-Control": "no-store"}
# What is made of a session's result and an opacity, and its media type.
FILES: dict[str, tuple[Callable[[Result, float], bytes], str]] = {
    "heatmap.png": (rendering.png, "image/png"),
    "probabilities.npy": (lambda result, opacity: rendering.npy(result), "application/octet-stream"),
    "heatmap.jpg": (lambda result, opacity: rendering.jpeg(rendering.heatmap(result, opacity)), "image/jpeg"),
    "image.jpg": (lambda result, opacity: rendering.jpeg(rendering.image(result)), "image/jpeg"),
}


def routes(sessions: Sessions) -> fastapi.FastAPI:
    """An application that serves the files of these sessions to the visitors that `safety.guard` names.

    Answers 404 for what is not this visitor's, and 400 for an opacity outside (0, 1].
    """
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    async def upload(request: Request) -> Response:
        visitor, limit = request.state.visitor, MAX_UPLOAD + _FORM_BYTES
        try:
            with sessions.uploads.arriving(visitor):
                given = Request(request.scope, limited(request.receive, limit, UPLOAD_SECONDS))
                token = await _kept(given, lambda name, file: sessions.uploads.add(visitor, name, file))
        except RequestError as error:
            return PlainTextResponse(str(error), error.code, {"Connection": "close"})
        return JSONResponse([token])

    def uploaded(token: str, request: Request) -> Response:
        return _or_404(lambda: FileResponse(path := sessions.uploads.path(request.state.visitor, token), **_as(path)))

    def file(name: str, session: str, request: Request, opacity: float = OPACITY) -> Response:
        if not 0 < opacity <= 1:
            return PlainTextResponse(f"opacity: expected more than 0 and at most 1, got {opacity}", 400)
        return _or_404(lambda: _file(sessions, name, session, request.state.visitor, opacity))

    app.add_api_route("/gradio_api/upload", upload, methods=["POST"])
    app.add_api_route("/gradio_api/upload_progress", _progress)
    app.add_api_route("/gradio_api/file={token}", uploaded)
    app.add_api_route("/samples/{number}", _sample)
    app.add_api_route("/files/{name}", file)
    return app


async def _kept(request: Request, keep: Callable[[str, Any], str]) -> str:
    """The token of the one file in an upload's form."""
    try:
        async with request.form(max_files=1, max_fields=4) as form:
            file = form.get("files")
            if not isinstance(file, UploadFile):
                raise RequestError(400, 'expected one file in the form field "files"; use the page')
            if (file.size or 0) > MAX_UPLOAD:
                raise RequestError(413, f"the file has more than {MAX_UPLOAD:,} bytes; use a smaller one")
            return await run_in_threadpool(keep, file.filename or "", file.file)
    except HTTPException as error:
        raise RequestError(error.status_code, f"expected a form with one file ({error.detail}); use the page") from None


def _progress() -> Response:
    """Gradio's page asks how far an upload is; it also learns that from the upload's answer."""
    return PlainTextResponse('data: {"msg": "done"}\n\n', media_type="text/event-stream", headers=_PRIVATE)


def _sample(number: int) -> Response:
    if number >= len(SAMPLES):
        return PlainTextResponse(f"samples: there are {len(SAMPLES)}", 404)
    return FileResponse(SAMPLES[number].path)


def _file(sessions: Sessions, name: str, session: str, visitor: str, opacity: float) -> Response:
    if name not in FILES:
        raise VGGFCNError(f"{name}: expected one of {', '.join(FILES)}")
    if visitor_of(session) != visitor:
        raise ImageError("the server no longer has this image; drop it again")
    make, media_type = FILES[name]
    headers = {
        **_PRIVATE,
        **({} if media_type == "image/jpeg" else {"Content-Disposition": f'attachment; filename="{name}"'}),
    }
    return Response(make(sessions.last(session), opacity), media_type=media_type, headers=headers)


def _as(path: Any) -> dict[str, Any]:
    # Never shown as a page, whatever is in it.
    return {"filename": path.name, "media_type": "application/octet-stream", "headers": _PRIVATE}


def _or_404(make: Callable[[], Response]) -> Response:
    try:
        return make()
    except VGGFCNError as error:
        return PlainTextResponse(str(error), 404)
