"""How much the server takes, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

from pseudohealthy.files import MEGABYTE


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        upload_bytes: of one image.
        jobs: images in the list, whether waiting, in work or finished.
        uploads: at the same time.
        connections: at the same time; further ones are answered with 503.
        head_seconds: until the head of a request is there.
        body_seconds: between two pieces of an upload.
        upload_seconds: until an upload is there.
    """

    upload_bytes: int = 1024 * MEGABYTE
    jobs: int = 50
    uploads: int = 4
    connections: int = 100
    head_seconds: float = 10.0
    body_seconds: float = 20.0
    upload_seconds: float = 1800.0
