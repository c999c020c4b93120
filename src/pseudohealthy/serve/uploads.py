"""An image from the browser into a file, of which no more is taken than is allowed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.requests import ClientDisconnect, Request

from pseudohealthy.files import MEGABYTE
from pseudohealthy.serve.limits import Limits


class UploadRefusedError(Exception):
    """An upload that is not taken; with the status of the response."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def receive(request: Request, path: Path, limits: Limits) -> int:
    """Write the body of a request to `path`; returns how many bytes it has.

    Raises:
        UploadRefusedError: it is too large, too slow or empty, it has been broken off, or the disk is full.
    """
    try:
        async with asyncio.timeout(limits.upload_seconds):
            return await _written(request, path, limits)
    except TimeoutError as error:
        raise UploadRefusedError(408, "the upload took too long; try again") from error
    except ClientDisconnect as error:
        raise UploadRefusedError(400, "the upload was broken off; try again") from error
    except OSError as error:
        raise UploadRefusedError(507, f"the image cannot be stored: {error.strerror or error}") from error


async def _written(request: Request, path: Path, limits: Limits) -> int:
    size, most = 0, limits.upload_bytes
    pieces = request.stream()
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:  # a courtesy: what arrives is counted below
        raise _too_large(most)
    with path.open("xb") as file:
        while True:
            async with asyncio.timeout(limits.body_seconds):
                piece = await anext(pieces, b"")
            if not piece:
                break
            size += len(piece)
            if size > most:
                raise _too_large(most)
            await asyncio.to_thread(file.write, piece)
    if not size:
        raise UploadRefusedError(400, "the file is empty (0 bytes); expected an image")
    return size


def _too_large(most: int) -> UploadRefusedError:
    return UploadRefusedError(413, f"the file is larger than {most / MEGABYTE:g} MB, the most that is taken")
