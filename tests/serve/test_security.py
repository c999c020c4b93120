"""Who is refused: without the token, by another name of the host, from another page."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from fixtures.page_server import PageServer
from pseudohealthy.errors import InputError
from pseudohealthy.serve.security import Access, address, expect_allowed, is_loopback

WRITES = [("POST", "/api/jobs"), ("POST", "/api/jobs/x/cancel"), ("DELETE", "/api/jobs/x")]


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/jobs"), *WRITES])
@pytest.mark.parametrize(
    "given", [None, "", "Bearer ", "Bearer wrong", "Basic {token}", "Bearer {token}x", "{token}"]
)
def test_without_the_token_nothing_is_given_or_done(
    server: PageServer, method: str, path: str, given: str | None
) -> None:
    refused = server.ask(method, path, authorization=given and given.format(token=server.token))
    assert refused.status == 401
    assert "the token" in refused.json["error"]


def test_a_token_that_is_no_ascii_is_refused_too(server: PageServer) -> None:
    assert server.ask("GET", "/api/jobs", authorization="Bearer \xe9").status == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost", ""]
)
@pytest.mark.parametrize("path", ["/", "/api/jobs", "/results/x/view"])
def test_another_name_of_the_host_is_refused(server: PageServer, host: str, path: str) -> None:
    assert server.ask("GET", path, host=host.format(port=server.port)).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_the_names_of_this_computer_are_taken(server: PageServer, host: str) -> None:
    assert server.ask("GET", "/api/jobs", host=f"{host}:{server.port}").status == 200


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1:1"]
)
def test_another_page_changes_nothing_even_with_the_token(
    server: PageServer, method: str, path: str, origin: str | None
) -> None:
    answer = server.ask(method, path, b"abc", origin=origin and origin.format(port=server.port))
    assert answer.status == 403
    assert server.jobs() == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_page_reads_and_embeds_nothing(server: PageServer, site: str) -> None:
    for path in ("/", "/api/jobs", "/page.js"):
        assert server.ask("GET", path, sec_fetch_site=site).status == 403
        assert server.ask("GET", path, sec_fetch_site="same-origin").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/results/..%2f..%2fetc/passwd",
        "/results/../page.js/x",
        "/../page.css/..",
        "/results/x/..%2f..%2fx",
        "/%2e%2e/x",
    ],
)
def test_no_path_leads_outside(server: PageServer, path: str) -> None:
    assert server.ask("GET", path).status == 404


def test_tokens_differ_and_are_long() -> None:
    tokens = {Access.of("127.0.0.1", 1).token for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43  # 256 bits


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *((host, True) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost")),
        *(
            (host, False)
            for host in ("0.0.0.0", "::", "192.168.1.2", "workstation", "localhost.evil.example")
        ),
    ],
)
def test_which_hosts_are_this_computer_alone(host: str, alone: bool) -> None:
    assert is_loopback(host) == alone
    expect_allowed(host, network=True)
    if alone:
        expect_allowed(host, network=False)
    else:
        with pytest.raises(InputError, match="add --allow-network if they may"):
            expect_allowed(host, network=False)


def test_a_server_for_the_network_is_addressed_by_numbers_or_its_own_name() -> None:
    access = Access.of("0.0.0.0", 8000)
    taken = ["192.168.1.2:8000", "[fe80::1]:8000", "localhost:8000"]
    for host in taken:
        assert access.refusal("GET", "/", Headers({"host": host})) is None
    for host in ("evil.example:8000", "192.168.1.2:80", "192.168.1.2", ":8000"):
        assert access.refusal("GET", "/", Headers({"host": host})) is not None


def test_the_port_that_is_understood_need_not_be_named() -> None:
    access = Access.of("::1", 80)
    assert access.refusal("GET", "/", Headers({"host": "[::1]"})) is None
    assert access.refusal("GET", "/", Headers({"host": "localhost"})) is None


def test_the_address_holds_the_token_where_browsers_do_not_send_it() -> None:
    access = Access.of("::1", 8000)
    assert address("::1", access) == f"http://[::1]:8000/#{access.token}"
    assert "0.0.0.0" not in address("0.0.0.0", access)
