"""What stands between a request and the work: which hosts, which pages and who, and what browsers are told.

The token stands in the address behind `#`, which browsers never send, and in the header `Authorization` of
every request to `/api/`. There is no cookie: another page, or another program's page on this machine, has
nothing that a browser would add by itself. Results lie under the random id of their job.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pseudohealthy.errors import InputError

OURS = "; ".join(  # nothing inline, nothing from elsewhere
    (
        *(
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
        ),
        *("frame-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"),
        "require-trusted-types-for 'script'",
    )
)
# The report is one file with its scripts in it: it runs apart from our page, and reaches nothing
REPORT = "; ".join(
    (
        *(
            "sandbox allow-scripts",
            "default-src 'none'",
            "script-src 'unsafe-inline'",
            "style-src 'unsafe-inline'",
        ),
        *("img-src data: blob:", "frame-ancestors 'self'", "base-uri 'none'", "form-action 'none'"),
    )
)
HEADERS = {
    "Content-Security-Policy": OURS,
    "Cache-Control": "no-store",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}
SAFE = ("GET", "HEAD")


@dataclass(frozen=True)
class Access:
    """Who may ask for what.

    Attributes:
        token: that requests to `/api/` must have.
        port: of the server.
        names: of hosts by which the server may be addressed, such as "localhost".
        addresses: whether it may be addressed by any number, as a server for a network is.
    """

    token: str
    port: int
    names: frozenset[str]
    addresses: bool = False

    @classmethod
    def of(cls, host: str, port: int) -> Access:
        """A new token, and the names of a server that listens at `host`."""
        token = secrets.token_urlsafe(32)
        if is_loopback(host):
            return cls(token, port, frozenset({"localhost", "127.0.0.1", "[::1]", _in_address(host)}))
        names = {host.lower(), "localhost", socket.gethostname().lower(), socket.getfqdn().lower()}
        return cls(token, port, frozenset(names), addresses=True)

    def refusal(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        """Status and reason why a request is refused; None: it is not."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, "this address is not the server's; open the one that the program printed"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return 403, "asked for by another page"
        if method not in SAFE and headers.get("origin") != f"http://{host}":
            return 403, "asked for by another page, or by none"
        if path.startswith("/api/") and not self._has_token(headers.get("authorization", "")):
            return 401, "the address lacks its last part, the token; open the one that the program printed"
        return None

    def _has_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), f"Bearer {self.token}".encode())

    def _is_ours(self, host: str) -> bool:
        """Whether a header `Host` names this server: another name may have been made to lead here."""
        name, colon, port = host.lower().rpartition(":")
        if not colon or port.endswith("]"):
            name, port = host.lower(), "80"
        if port != str(self.port):
            return False
        return name in self.names or (self.addresses and _is_address(name.strip("[]")))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def expect_allowed(host: str, *, network: bool) -> None:
    """Raise an `InputError` where other computers could reach the server and that is not wanted."""
    if not network and not is_loopback(host):
        raise InputError(
            f"--host {host}: other computers could reach it; add --allow-network if they may, or leave it out"
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def address(host: str, access: Access) -> str:
    """What a person opens: the page, and behind `#` the token."""
    unspecified = _is_address(host) and ipaddress.ip_address(host).is_unspecified
    return (
        f"http://{socket.gethostname() if unspecified else _in_address(host)}:{access.port}/#{access.token}"
    )


class Guard:
    """ASGI middleware: refuses requests that `Access` refuses, and adds `HEADERS` to each response."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; there are none but HTTP's."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        refused = self._access.refusal(scope["method"], scope["path"], headers)
        app = refusal(*refused) if refused else self._app
        await app(scope, receive, send_with_headers)


def refusal(status: int, reason: str, allow: Iterable[str] = ()) -> Response:
    """A response that says in one line why not."""
    headers = {"Allow": ", ".join(allow)} if allow else None
    return JSONResponse({"error": reason}, status, headers)
