"""The addresses of the server: the page and its files, the list of images, and what was made of them."""

from __future__ import annotations

import asyncio
import contextlib
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pseudohealthy import __version__
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.serve.inputs import kinds
from pseudohealthy.serve.job_queue import JobQueue, QueueFullError
from pseudohealthy.serve.jobs import Job
from pseudohealthy.serve.security import REPORT, Access, Guard, refusal
from pseudohealthy.serve.uploads import UploadRefusedError, receive
from pseudohealthy.synthesis.output_files import DESCRIPTIONS

STATIC = Path(__file__).with_name("static")
PAGES = {  # path in the address: file, type
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
FILES = {
    "page": "The page to look at, for a browser.",
    "report": "How it was made.",
    "panel": "A few slices.",
}

Handler = Callable[[Request], Awaitable[Response]]


def build_app(jobs: JobQueue, access: Access) -> ASGIApp:
    """The server's application.

    Args:
        jobs: the images; its worker is running.
        access: who may ask for what.
    """
    handlers = _Handlers(jobs)
    app = Starlette(
        routes=[
            *(Route(path, _page(*file)) for path, file in PAGES.items()),
            Route("/api/jobs", handlers.overview, methods=["GET"]),
            Route("/api/jobs", handlers.upload, methods=["POST"]),
            Route("/api/jobs/{id}/cancel", handlers.cancel, methods=["POST"]),
            Route("/api/jobs/{id}", handlers.remove, methods=["DELETE"]),
            Route("/results/{id}/all.zip", handlers.archive),
            Route("/results/{id}/view", handlers.view),
            Route("/results/{id}/{kind}", handlers.download),
        ],
        exception_handlers={HTTPException: _refused, OSError: _failed},
    )
    return Guard(app, access)  # outermost: also around what answers with 500


def _page(name: str, media_type: str) -> Handler:
    async def page(_: Request) -> Response:
        return _File(STATIC / name, media_type=media_type)

    return page


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, error.detail)


async def _failed(_: Request, error: Exception) -> Response:
    """What the disk refuses, and a file that was removed a moment ago."""
    assert isinstance(error, OSError)
    if isinstance(error, FileNotFoundError):
        return refusal(404, "there is no such file any more")
    return refusal(507, f"the disk refuses it ({error.strerror or error}); make room, and try again")


class _File(FileResponse):
    """A file; where it goes away while it is being sent, the connection is closed."""

    def __init__(self, path: Path, media_type: str, **given: Any) -> None:
        super().__init__(path, media_type=media_type, stat_result=path.stat(), **given)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(OSError):
            await super().__call__(scope, receive, send)


class _Handlers:
    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs

    def _job(self, request: Request) -> Job:
        job = self._jobs.jobs.get(request.path_params["id"])
        if job is None:
            raise HTTPException(404, "there is no such image in the list")
        return job

    def _file(self, request: Request, kind: str) -> Path:
        file = self._job(request).file(kind)
        if file is None or not file.is_file():
            raise HTTPException(404, "there is no such file")
        return file

    async def overview(self, _: Request) -> Response:
        """All that the page shows."""
        return JSONResponse(
            {
                "version": __version__,
                "research_use": RESEARCH_USE,
                "kinds": kinds(),
                "upload_bytes": self._jobs.limits.upload_bytes,
                "jobs": [self._described(job) for job in self._jobs.jobs.values()],
            }
        )

    async def upload(self, request: Request) -> Response:
        """Take an image: its bytes are the body, its name stands percent-encoded in `X-File-Name`."""
        name = unquote(request.headers.get("x-file-name", ""))
        blend, uncertainty = (request.query_params.get(key) == "true" for key in ("blend", "uncertainty"))
        try:
            job = self._jobs.add(name, blend=blend, uncertainty=uncertainty)
        except QueueFullError as error:
            return refusal(429, str(error))
        try:
            job.bytes = await receive(request, job.image, self._jobs.limits)
        except UploadRefusedError as error:
            await self._jobs.remove(job)
            return refusal(error.status, str(error))
        except BaseException:  # the server is ending
            job.finish("cancelled")
            raise
        if job.state == "uploading":
            self._jobs.enqueue(job)
        return JSONResponse(self._described(job), 201)

    async def cancel(self, request: Request) -> Response:
        """Stop the work on an image."""
        job = self._job(request)
        await self._jobs.cancel(job)
        return JSONResponse(self._described(job))

    async def remove(self, request: Request) -> Response:
        """Take an image from the list, with all that was made of it."""
        await self._jobs.remove(self._job(request))
        return Response(status_code=204)

    async def view(self, request: Request) -> Response:
        """The report's page, as it is, shut off from everything else."""
        file = self._file(request, "page")
        return _File(file, "text/html", headers={"Content-Security-Policy": REPORT})

    async def download(self, request: Request) -> Response:
        """One of the files."""
        file = self._file(request, request.path_params["kind"])
        media_type = "image/png" if file.suffix == ".png" else "application/octet-stream"
        return _File(file, media_type, filename=file.name)

    async def archive(self, request: Request) -> Response:
        """All files, in a zip."""
        report, job = self._file(request, "report"), self._job(request)
        async with job.archiving:
            path = job.folder / "all.zip"
            if not path.is_file():
                await asyncio.to_thread(_write_zip, path, job.out)
        name = f"{report.name.removesuffix('_report.json')}.zip"
        return _File(path, "application/zip", filename=name)

    def _described(self, job: Job) -> dict[str, Any]:
        """What the page shows of an image."""
        left = self._jobs.seconds_left(job)
        told = {name: job.result.get(name) for name in ("lesion_ml", "interval", "caveat", "warnings")}
        return {
            **{
                name: getattr(job, name)
                for name in ("id", "name", "bytes", "state", "now", "error", "seconds")
            },
            **(told if job.state == "done" else {}),
            "share": round(job.share, 3),
            "seconds_left": left if left is None else round(left, 1),
            "place": self._jobs.place(job) if job.state == "waiting" else None,
            "files": _files(job),
        }


def _files(job: Job) -> list[dict[str, Any]]:
    """The files that a person may want one by one: images first, without their sidecars."""
    about = {**DESCRIPTIONS, **FILES}
    paths = {kind: job.file(kind) for kind in about}
    return [
        {"kind": kind, "name": path.name, "bytes": path.stat().st_size, "about": about[kind]}
        for kind, path in paths.items()
        if path is not None and path.is_file()
    ]


def _write_zip(path: Path, folder: Path) -> None:
    def write(part: Path) -> None:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:  # images are compressed already
            for file in sorted(folder.rglob("*")):
                if file.is_file() and not file.name.startswith("."):
                    archive.write(file, file.relative_to(folder))

    part = path.with_suffix(".part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
