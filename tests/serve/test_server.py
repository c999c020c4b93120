"""The server begins at once, and nothing is left of it, whichever way it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fixtures.page_server import PageServer, gone, page_server
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.serve.limits import Limits
from pseudohealthy.serve.server import serve


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_however_it_ends(
    tmp_path: Path, weights: Path, image: Path, number: signal.Signals
) -> None:
    with page_server(tmp_path / "temporary", weights) as server:
        (folder,) = server.folders()
        assert folder.stat().st_mode & 0o777 == 0o700
        job = server.upload(image.name, image.read_bytes()).json
        server.wait_for(job["id"], "working")
        worker = server.worker()
        code, said = server.end(number)
        assert gone(worker)
        until = time.monotonic() + 10
        while server.folders() and time.monotonic() < until:  # after SIGKILL, the worker removes it
            time.sleep(0.05)
        assert server.folders() == []
        assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
        assert said.splitlines() == ["Ctrl-C ends the program and removes all images.", RESEARCH_USE]


def test_it_ends_while_an_upload_and_a_download_hang(tmp_path: Path, weights: Path) -> None:
    with page_server(tmp_path / "temporary", weights) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as hanging:
            head = f"POST /api/jobs HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: {server.origin}\r\n"
            hanging.sendall(
                f"{head}Authorization: Bearer {server.token}\r\nContent-Length: 9\r\n\r\nab".encode()
            )
            time.sleep(0.5)
            assert [job["state"] for job in server.jobs()] == ["uploading"]
            code, _ = server.end()
        assert (code, server.folders()) == (0, [])


def test_the_page_needs_no_torch(server: PageServer) -> None:
    assert server.ask("GET", "/").status == 200
    assert "libtorch" not in Path(f"/proc/{server.process.pid}/maps").read_text()


def test_what_is_slow_is_given_up(tmp_path: Path, weights: Path) -> None:
    limits = {"head_seconds": 0.5, "body_seconds": 0.5}
    with page_server(tmp_path / "temporary", weights, **limits) as server:
        head = f"POST /api/jobs HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: {server.origin}\r\n"
        for sent in ("", "GET / HTTP/1.1\r\nHost: ", head):
            assert answered(server, sent) == b""
        body = f"{head}Authorization: Bearer {server.token}\r\nContent-Length: 9\r\n\r\nab"
        assert answered(server, body).startswith(b"HTTP/1.1 408 ")
        assert server.jobs() == []
        assert server.left() == []


def answered(server: PageServer, sent: str) -> bytes:
    """What comes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(sent.encode())
        return b"".join(iter(lambda: connection.recv(4096), b""))


def refused(*options: str) -> str:
    """The one line with which the program ends before it serves anything."""
    command = [sys.executable, "-m", "pseudohealthy", "serve", "--no-browser", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_other_computers_are_let_in_only_on_purpose(tmp_path: Path, weights: Path) -> None:
    assert "--host 0.0.0.0: other computers could reach it; add --allow-network" in refused(
        "--host", "0.0.0.0"
    )
    with page_server(tmp_path / "temporary", weights, "--host", "0.0.0.0", "--allow-network") as server:
        assert server.ask("GET", "/api/jobs").status == 200
        assert "warning: 0.0.0.0 is open to other computers" in server.end()[1]


def test_a_host_and_a_port_that_cannot_be_used_are_refused(weights: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "cannot be used" in refused("--port", port, "--weights", str(weights))


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
def test_names_that_no_host_has_are_refused_in_one_line(tmp_path: Path, host: str) -> None:
    with pytest.raises(InputError, match=rf"^--host {host} --port 0: cannot be used \(.*\); leave them out"):
        serve(host, 0, tmp_path, Limits(), print)


def test_weights_that_are_none_are_refused_before_anything_begins(tmp_path: Path) -> None:
    assert str(tmp_path) in refused("--weights", str(tmp_path))
