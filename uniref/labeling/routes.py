"""The requests that the label page makes, each answered by one call of the session."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from uniref.core.errors import MediaError, UniRefError, UsageError
from uniref.labeling import bodies
from uniref.labeling.access import BodyTooLarge
from uniref.labeling.events import MOST_CLIENTS, Changes

if TYPE_CHECKING:
    from uniref.labeling.session import LabelSession

STATIC = Path(__file__).parent / "static"
_WIDEST = 8192  # pixels
_LARGEST_REVISION = (1 << 53) - 1


class LabelApi:
    """The endpoints of a session. They do their work in threads, so that none holds up another.

    Args:
        session: The project.
        changes: Of the same session.
    """

    def __init__(self, session: LabelSession, changes: Changes) -> None:
        self.session, self.changes = session, changes
        video = session.info()["video"]
        self._frames: int = video["frames"]
        self._size: tuple[int, int] = (video["height"], video["width"])
        self._version = secrets.token_hex(8)
        """Of the pictures: an address of this server may have shown another video before."""

    def app(self) -> Starlette:
        """The application, which everybody may use: `Guard` decides who gets here."""
        routes = [
            Route("/", self.page),
            Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
            Route("/api/state", self.state),
            Route("/api/timeline", self.timeline),
            Route("/api/events", self.events),
            Route("/api/frames/{frame}.jpg", self.frame),
            Route("/api/thumbnails/{frame}.jpg", self.thumbnail),
            Route("/api/frames/{frame}/masks", self.masks),
            Route("/api/objects", self.add_object, methods=["POST"]),
            Route("/api/objects/{object}", self.update_object, methods=["PATCH"]),
            Route("/api/objects/{object}", self.remove_object, methods=["DELETE"]),
            Route("/api/objects/{object}/text", self.set_text, methods=["POST"]),
            Route("/api/objects/{object}/mask", self.set_mask, methods=["POST"]),
            Route("/api/objects/{object}/mask", self.clear_mask, methods=["DELETE"]),
            Route("/api/objects/{object}/region", self.set_region, methods=["POST"]),
            Route("/api/objects/{object}/example", self.set_example, methods=["POST"]),
            Route("/api/run", self.run, methods=["POST"]),
            Route("/api/stop", self.stop, methods=["POST"]),
            Route("/api/undo", self.undo, methods=["POST"]),
            Route("/api/redo", self.redo, methods=["POST"]),
            Route("/api/export", self.export, methods=["POST"]),
        ]
        return Starlette(
            routes=routes,
            exception_handlers={UniRefError: _on_problem, HTTPException: _on_problem, Exception: _on_bug},
        )

    # what is shown

    async def page(self, request: Request) -> Response:
        """The page itself."""
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    async def state(self, request: Request) -> Response:
        """Everything but pictures, masks and the timeline."""
        return await _answer(self.session.info)

    async def timeline(self, request: Request) -> Response:
        """What changed on the timeline."""
        text = request.query_params.get("after", "0")
        if not (text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) <= _LARGEST_REVISION):
            raise UsageError("after: expected a revision")
        return await _answer(lambda: self.session.timeline(int(text)))

    async def events(self, request: Request) -> Response:
        """Changes as they happen, until the client goes."""
        if self.changes.clients >= MOST_CLIENTS:
            raise UniRefError(f"{MOST_CLIENTS} pages are open already; close some of them")
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self.changes.stream(), media_type="text/event-stream", headers=headers)

    async def frame(self, request: Request) -> Response:
        """A frame as a JPEG."""
        index = self._frame(request.path_params["frame"])
        text = request.query_params.get("width")
        width = None if text is None else bodies.parse_index(text, "width")
        if width is not None and not 1 <= width <= _WIDEST:
            raise UsageError(f"width: expected 1 to {_WIDEST} pixels")
        return await self._picture(request, f"{index}-{width}", lambda: self.session.frame_jpeg(index, width))

    async def thumbnail(self, request: Request) -> Response:
        """A frame as a small JPEG."""
        index = self._frame(request.path_params["frame"])
        return await self._picture(request, f"{index}-small", lambda: self.session.thumbnail(index))

    async def _picture(self, request: Request, name: str, make: Callable[[], bytes]) -> Response:
        """A JPEG that the browser keeps, and asks about before it shows it again."""
        tag = f'"{self._version}-{name}"'
        headers = {"cache-control": "private, no-cache", "etag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(await run_in_threadpool(make), media_type="image/jpeg", headers=headers)

    async def masks(self, request: Request) -> Response:
        """The masks of a frame."""
        index = self._frame(request.path_params["frame"])
        return await _answer(lambda: {"frame": index, "masks": self.session.masks(index)})

    # objects

    async def add_object(self, request: Request) -> Response:
        """Add an object."""
        new = await _body(request, bodies.NewObject)
        return await _answer(lambda: {"id": self.session.add_object(new.name)})

    async def update_object(self, request: Request) -> Response:
        """Rename, recolour, show or hide an object."""
        number = await self._object(request)
        change = await _body(request, bodies.ObjectChange)
        return await _answer(lambda: self.session.update_object(number, change.name, change.colour, change.visible))

    async def remove_object(self, request: Request) -> Response:
        """Remove an object."""
        number = await self._object(request)
        return await _answer(lambda: self.session.remove_object(number))

    # masks and prompts

    async def set_text(self, request: Request) -> Response:
        """Look for an object by a text."""
        number = await self._object(request)
        prompt = await _body(request, bodies.TextPrompt)
        self._check_frame(prompt.frame)
        return await _answer(lambda: self.session.set_text(number, prompt.frame, prompt.text))

    async def set_mask(self, request: Request) -> Response:
        """Give an object's mask."""
        number = await self._object(request)
        prompt = await _body(request, bodies.MaskPrompt)
        self._check_frame(prompt.frame)
        prompt.rle.check(*self._size)
        mask = {"size": list(prompt.rle.size), "counts": prompt.rle.counts}
        return await _answer(lambda: self.session.set_mask(number, prompt.frame, mask))

    async def clear_mask(self, request: Request) -> Response:
        """Take an object's mask away."""
        number, frame = await self._object(request), self._asked_frame(request)
        return await _answer(lambda: self.session.clear_mask(number, frame))

    async def set_region(self, request: Request) -> Response:
        """Show an object by a box or points."""
        number = await self._object(request)
        prompt = await _body(request, bodies.RegionPrompt)
        self._check_frame(prompt.frame)
        prompt.check()
        return await _answer(lambda: self.session.set_region(number, prompt.frame, prompt.box, prompt.points))

    async def set_example(self, request: Request) -> Response:
        """Look for an object by an example image and its mask."""
        number, frame = await self._object(request), self._asked_frame(request)
        try:
            async with request.form(max_files=2, max_fields=0) as form:
                image, mask = await _file(form.get("image")), await _file(form.get("mask"))
        except ValueError:  # of older versions of the parser
            raise UsageError("the form is not a valid one of files") from None
        if not image or not mask:
            raise UsageError("image, mask: two files are needed")
        return await _answer(lambda: self.session.set_example(number, frame, image, mask))

    # following, undoing, exporting

    async def run(self, request: Request) -> Response:
        """Follow objects in the background."""
        run = await _body(request, bodies.Run)
        if run.frame is not None:
            self._check_frame(run.frame)
        for number in run.objects or ():
            await self._check_object(number)
        return await _answer(lambda: self.session.run(run.frame, run.direction, run.objects))

    async def stop(self, request: Request) -> Response:
        """Stop what goes on in the background."""
        return await _answer(self.session.stop)

    async def undo(self, request: Request) -> Response:
        """Take the last action back."""
        return await _answer(lambda: {"undone": self.session.undo()})

    async def redo(self, request: Request) -> Response:
        """Do the last action again that was taken back."""
        return await _answer(lambda: {"redone": self.session.redo()})

    async def export(self, request: Request) -> Response:
        """Write files in the background."""
        export = await _body(request, bodies.Export)
        return await _answer(lambda: self.session.export(export.formats, export.name))

    # numbers of addresses

    def _frame(self, text: str) -> int:
        index = bodies.parse_index(text, "frame")
        self._check_frame(index)
        return index

    def _asked_frame(self, request: Request) -> int:
        return self._frame(request.query_params.get("frame", ""))

    def _check_frame(self, index: int) -> None:
        if index >= self._frames:
            raise HTTPException(404, f"frame {index}: the video has {self._frames} frames, from 0 on")

    async def _object(self, request: Request) -> int:
        number = bodies.parse_index(request.path_params["object"], "object")
        await self._check_object(number)
        return number

    async def _check_object(self, number: int) -> None:
        try:
            await run_in_threadpool(self.session.store.object, number)
        except UsageError as problem:
            raise HTTPException(404, str(problem)) from None


async def _body(request: Request, model: type[bodies.M]) -> bodies.M:
    """The JSON body of a request. Raises UsageError."""
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != "application/json":
        raise UsageError("content-type: expected application/json")
    return await run_in_threadpool(bodies.parse, model, body)


async def _file(part: UploadFile | str | None) -> bytes:
    """The content of a file of a form; empty where it is not one."""
    return await part.read() if isinstance(part, UploadFile) else b""


async def _answer(call: Callable[[], Any]) -> Response:
    """What a call returns, as JSON; it runs in a thread."""
    content = await run_in_threadpool(lambda: json.dumps(call(), allow_nan=False, separators=(",", ":")))
    return Response(content, media_type="application/json", headers={"cache-control": "no-store"})


async def _on_problem(request: Request, problem: Exception) -> Response:
    """One line about what cannot be done."""
    if isinstance(problem, HTTPException):
        return _error(problem.status_code, str(problem.detail))
    if isinstance(problem, BodyTooLarge):
        return _error(413, str(problem))
    return _error(400 if isinstance(problem, UsageError | MediaError) else 409, str(problem))


async def _on_bug(request: Request, problem: Exception) -> Response:
    """One line; the guard reports the exception, which Starlette raises again."""
    return _error(500, "something went wrong in the server")


def _error(status: int, reason: str) -> Response:
    return Response(json.dumps({"error": " ".join(reason.split())}), status, media_type="application/json")
