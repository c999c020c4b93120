"""From upload to download, and what is refused on the way, with the real program and real requests."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import resource
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from fixtures import brains
from fixtures.page_server import PageServer, page_server
from fixtures.scans import ID, NAME, exported, flair, other_series, write, zipped
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.files import MEGABYTE
from pseudohealthy.serve.app import PAGES, STATIC, build_app
from pseudohealthy.serve.job_queue import JobQueue
from pseudohealthy.serve.limits import Limits
from pseudohealthy.serve.security import HEADERS, Access


def program(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pseudohealthy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def without_times(content: bytes) -> Any:
    """A run report, but for how long it took."""
    return json.loads(content, object_hook=lambda part: {key: part[key] for key in part if key != "seconds"})


@pytest.mark.parametrize("option", [None, "blend", "uncertainty"])
def test_what_is_downloaded_is_what_the_command_writes(
    tmp_path: Path, server: PageServer, weights: Path, image: Path, option: str | None
) -> None:
    options = [f"--{option}"] if option else []
    done = program("synthesize", image, "-o", tmp_path / "out", "--weights", weights, *options)
    assert done.returncode == 0, done.stderr
    expected = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    uploaded = server.upload(image.name, image.read_bytes(), f"?{option}=true" if option else "")
    assert uploaded.status == 201
    job = server.wait_for(uploaded.json["id"], "done", "failed")
    assert (job["state"], job["error"], job["share"]) == ("done", "", 1)
    assert f"lesion: {job['lesion_ml']} ml" in done.stdout
    assert f"caveat: {job['caveat']}" in done.stdout
    interval = f"95 % {job['interval'][0]} to {job['interval'][1]} ml" if job["interval"] else "no interval"
    assert (interval in done.stdout) is (option == "uncertainty")

    archive = server.ask("GET", f"/results/{job['id']}/all.zip")
    assert archive.headers["content-disposition"].endswith('"sub-01_desc-pseudohealthy.zip"')
    with zipfile.ZipFile(io.BytesIO(archive.body)) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    assert set(files) == set(expected)
    for name, content in files.items():
        if name.endswith("_report.json"):
            assert without_times(content) == without_times(expected[name])
        elif not name.endswith("_report.html"):  # which says how long it took
            assert content == expected[name], name

    assert len(job["files"]) == 7 + (option is not None)
    for file in job["files"]:
        one = server.ask("GET", f"/results/{job['id']}/{file['kind']}")
        assert (one.status, one.body) == (200, files[file["name"]])
        assert one.headers["content-disposition"] == f'attachment; filename="{file["name"]}"'
        assert len(one.body) == file["bytes"]

    shown = server.ask("GET", f"/results/{job['id']}/view")
    assert shown.body == files["sub-01_desc-pseudohealthy_report.html"]
    assert shown.headers["content-type"].startswith("text/html")
    assert "sandbox allow-scripts;" in shown.headers["content-security-policy"]

    assert server.ask("DELETE", f"/api/jobs/{job['id']}").status == 204
    assert server.ask("GET", f"/results/{job['id']}/healthy").status == 404
    assert server.left() == []


def test_a_zip_of_dicom_gives_what_the_command_writes(
    tmp_path: Path, server: PageServer, weights: Path
) -> None:
    study = zipped(exported(tmp_path / "study"), tmp_path / "study.zip")
    done = program("synthesize", study, "-o", tmp_path / "out", "--dicom", "--weights", weights)
    assert done.returncode == 0, done.stderr
    paths = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]

    job = server.wait_for(server.upload(study.name, study.read_bytes()).json["id"], "done", "failed")
    assert (job["state"], job["error"]) == ("done", "")
    assert job["warnings"][0].startswith("series 5, ")
    for note in re.findall("^note: (.*)$", done.stderr, re.MULTILINE):
        assert note in job["warnings"]
    with zipfile.ZipFile(io.BytesIO(server.ask("GET", f"/results/{job['id']}/all.zip").body)) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    assert set(files) == {path.relative_to(tmp_path / "out").as_posix() for path in paths}
    slices = {name for name in files if name.endswith(".dcm")}
    assert len(slices) == len(flair()) + 1
    for name in slices:
        ours, theirs = (pydicom.dcmread(file) for file in (io.BytesIO(files[name]), tmp_path / "out" / name))
        assert np.array_equal(ours.pixel_array, theirs.pixel_array)
        assert ours.PatientName == theirs.PatientName == NAME
    told = json.dumps([job, sorted(files)])
    assert not any(word in told for word in (NAME, ID, *str(NAME).split("^")))
    assert server.ask("DELETE", f"/api/jobs/{job['id']}").status == 204
    assert server.left() == []


def test_a_study_that_cannot_be_used_is_told_in_the_line_of_the_command(
    tmp_path: Path, server: PageServer, weights: Path
) -> None:
    study = zipped(write(tmp_path / "study", other_series()), tmp_path / "study.zip")
    line = program("synthesize", study, "-o", tmp_path / "out", "--weights", weights).stderr.strip()
    job = server.wait_for(server.upload(study.name, study.read_bytes()).json["id"], "failed", "done")
    assert f"pseudohealthy: {tmp_path}{os.sep}{job['error']}" == line
    assert server.left() == []


def test_a_broken_file_is_told_in_the_line_of_the_command(
    tmp_path: Path, server: PageServer, weights: Path, image: Path
) -> None:
    broken = tmp_path / "sub-01_FLAIR.nii.gz"
    broken.write_bytes(image.read_bytes()[:3000])
    line = program("synthesize", broken, "-o", tmp_path / "out", "--weights", weights).stderr.strip()
    job = server.wait_for(server.upload(broken.name, broken.read_bytes()).json["id"], "failed", "done")
    assert f"pseudohealthy: {tmp_path}{os.sep}{job['error']}" == line
    assert job["files"] == []
    assert server.ask("GET", f"/results/{job['id']}/healthy").status == 404
    assert server.left() == []


def test_what_to_do_about_a_skull_can_be_done_on_the_page(tmp_path: Path, server: PageServer) -> None:
    thin = brains.write(tmp_path / "thin.nii", brains.head(brains.brain(), noise=5)[:, :, 8:12])
    job = server.wait_for(server.upload(thin.name, thin.read_bytes()).json["id"], "failed", "done")
    assert "too thin" in job["error"]
    assert job["error"].endswith("expected the brain alone, so strip it elsewhere, and upload the brain")
    assert "--" not in job["error"]


def test_names_are_shown_without_what_controls_and_are_no_paths(server: PageServer, image: Path) -> None:
    name = "../../..\u202e/\x1b[31m\r\nHost: evil <b>é.nii.gz"
    job = server.wait_for(server.upload(name, image.read_bytes()).json["id"], "done", "failed")
    assert job["name"] == "../../../[31mHost: evil <b>é.nii.gz"
    assert job["files"][0]["name"] == "31mHost_evil_b_e_desc-pseudohealthy_FLAIR.nii.gz"
    inside = [path for path in server.temporary.rglob("*") if path.is_file()]
    assert inside
    assert all(path.is_relative_to(server.folders()[0] / job["id"]) for path in inside)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[PageServer]:
    """A server that takes 1 MB, and is patient for half a second."""
    limits = {"body_seconds": 0.5, "head_seconds": 0.5, "jobs": 6, "uploads": 2}
    with page_server(tmp_path_factory.mktemp("small"), weights, "--largest", "1", **limits) as running:
        yield running


@pytest.mark.parametrize("announced", [True, False])
def test_more_than_is_allowed_is_not_stored(small: PageServer, announced: bool) -> None:
    pieces = [bytes(MEGABYTE // 4)] * 5
    body: Any = b"".join(pieces) if announced else iter(pieces)  # in chunks, whose sum nobody announces
    try:
        answer = small.ask("POST", "/api/jobs", body, x_file_name="a.nii")
    except ConnectionError:  # closed while the rest is being sent
        assert announced or small.jobs() == []
    else:
        assert answer.status == 413
        assert answer.json == {"error": "the file is larger than 1 MB, the most that is taken"}
    assert small.jobs() == []
    assert small.left() == []


def test_an_empty_file_is_refused(small: PageServer) -> None:
    answer = small.upload("a.nii", b"")
    assert (answer.status, small.jobs()) == (400, [])
    assert answer.json["error"].startswith("the file is empty (0 bytes)")


def test_fifty_at_once_are_answered_and_no_more_are_taken_than_fit(small: PageServer) -> None:
    with ThreadPoolExecutor(50) as pool:
        uploads = list(pool.map(lambda n: small.upload(f"{n}.nii", b"none"), range(50)))
        lists = list(pool.map(lambda _: small.ask("GET", "/api/jobs").status, range(50)))
    statuses = Counter(answer.status for answer in uploads)
    assert set(statuses) == {201, 429}
    assert 1 <= statuses[201] <= 6
    assert set(lists) == {200}
    while small.upload("more.nii", b"none").status == 201:
        pass
    refused = small.upload("more.nii", b"none")
    assert refused.json == {"error": "6 images are in the list, the most it takes; remove some"}
    for job in small.jobs():
        assert "is not NIfTI" in small.wait_for(job["id"], "failed")["error"]
        assert small.ask("DELETE", f"/api/jobs/{job['id']}").status == 204
    assert small.jobs() == []


@pytest.mark.parametrize("path", [*PAGES, "/api/jobs", "/nothing", "/results/x/healthy", "/results/x/view"])
def test_every_answer_has_the_headers(server: PageServer, path: str) -> None:
    headers = server.ask("GET", path).headers
    assert "'unsafe-inline'" not in headers["content-security-policy"]
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert "server" not in headers
    assert "set-cookie" not in headers


def answered(queue: JobQueue, path: str, seen: Callable[[Any], object] = lambda _: None) -> list[Any]:
    """What the application sends; `seen` is called with each message once it is sent."""
    access = Access.of("127.0.0.1", 80)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        seen(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {access.token}".encode())]
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b""}

    async def answer() -> None:
        try:
            await build_app(queue, access)(scope, receive, send)
        except AttributeError:
            sent.append("raised")

    asyncio.run(answer())
    return sent


def test_an_answer_to_what_went_wrong_has_the_headers_too(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, tmp_path, Limits())
    queue.jobs = None  # type: ignore[assignment]  # what no request can bring about
    sent = answered(queue, "/api/jobs")
    assert (sent[0]["status"], sent[-1]) == (500, "raised")
    assert {name.decode() for name, _ in sent[0]["headers"]} >= {name.lower() for name in HEADERS}


def test_a_file_that_is_removed_while_it_is_sent_ends_the_answer_and_no_more(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, tmp_path, Limits())
    job = queue.add("a.nii", blend=False)
    job.finish("done", result={"files": {"healthy": "a.nii.gz"}})
    job.out.mkdir()
    (job.out / "a.nii.gz").write_bytes(b"image")
    whole = answered(queue, f"/results/{job.id}/healthy")
    assert b"".join(message.get("body", b"") for message in whole) == b"image"
    begun = answered(
        queue, f"/results/{job.id}/healthy", lambda _: (job.out / "a.nii.gz").unlink(missing_ok=True)
    )
    assert [(message["type"], message["status"]) for message in begun] == [("http.response.start", 200)]


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, weights: Path, image: Path) -> None:
    with page_server(tmp_path / "temporary", weights) as running:
        identity = running.upload(image.name, image.read_bytes()).json["id"]
        assert running.wait_for(identity, "done", "failed")["state"] == "done"
        archive = f"/results/{identity}/all.zip"
        before = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        refused = running.ask("GET", archive)
        assert refused.status == 507
        assert refused.json == {"error": "the disk refuses it (File too large); make room, and try again"}
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, before)
        (folder,) = running.folders()
        assert not list((folder / identity).glob("all*"))
        assert running.ask("GET", archive).status == 200
        assert len(running.end()[1].splitlines()) == 2


def test_the_page_says_what_it_is_for_and_needs_nothing_from_elsewhere() -> None:
    page = (STATIC / "page.html").read_text(encoding="utf-8")
    assert RESEARCH_USE in page
    for name, _ in PAGES.values():
        content = (STATIC / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|innerHTML|\bon\w+=[\"']|style=|<style|<script>", content), name
    assert sum((STATIC / name).stat().st_size for name, _ in PAGES.values()) < 40_000


def test_the_method_of_a_request_matters(server: PageServer) -> None:
    assert server.ask("PUT", "/api/jobs").status == 405
    assert server.ask("GET", "/api/jobs/x/cancel").status == 405
    assert server.ask("POST", "/api/jobs/x/cancel").status == 404
    assert server.ask("DELETE", "/api/jobs/x").json == {"error": "there is no such image in the list"}
