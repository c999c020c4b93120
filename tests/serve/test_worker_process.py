"""The process that works: it can be killed at any time, and the next image is processed all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.page_server import PATIENCE, alive, gone, page_server
from fixtures.scans import flair, write, zipped
from pseudohealthy.errors import PseudohealthyError
from pseudohealthy.serve.worker_process import WorkerProcess


def test_cancel_stops_the_work_at_once(tmp_path: Path, weights: Path, image: Path) -> None:
    with page_server(tmp_path / "temporary", weights) as server:
        first, second = (server.upload(image.name, image.read_bytes()).json["id"] for _ in range(2))
        server.wait_for(first, "working")
        assert server.job(second)["place"] == 0
        worker = server.worker()
        cancelled = server.ask("POST", f"/api/jobs/{first}/cancel")
        assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
        assert not alive(worker)
        assert not (server.folders()[0] / first).exists()
        assert server.wait_for(second, "done", "failed")["state"] == "done"
        assert server.worker() != worker
        assert server.job(first)["state"] == "cancelled"
        assert server.ask("POST", f"/api/jobs/{second}/cancel").json["state"] == "done"  # too late


def test_one_that_waits_is_cancelled_without_a_word_to_the_others(
    tmp_path: Path, weights: Path, image: Path
) -> None:
    with page_server(tmp_path / "temporary", weights) as server:
        first, second = (server.upload(image.name, image.read_bytes()).json["id"] for _ in range(2))
        worker = server.worker()
        assert server.ask("DELETE", f"/api/jobs/{second}").status == 204
        assert [job["id"] for job in server.jobs()] == [first]
        assert server.wait_for(first, "done", "failed")["state"] == "done"
        assert server.worker() == worker


def test_a_worker_that_dies_is_told_and_replaced(tmp_path: Path, weights: Path, image: Path) -> None:
    with page_server(tmp_path / "temporary", weights) as server:
        first, second = (server.upload(image.name, image.read_bytes()).json["id"] for _ in range(2))
        server.wait_for(first, "working")
        worker = server.worker()
        os.kill(worker, signal.SIGKILL)  # as the system does where memory is short
        assert gone(worker)
        failed = server.wait_for(first, "failed", "done")
        assert failed["error"].startswith("the process that did the work has ended (exit code -9);")
        assert server.wait_for(second, "done", "failed")["state"] == "done"


def test_temporary_files_of_dicom_are_gone_however_the_work_is_stopped(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = zipped(write(tmp_path / "study", flair()[:3]), tmp_path / "study.zip").read_bytes()
    begun, slow = tmp_path / "begun", tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\ntouch {begun}\nexec sleep 60\n", encoding="utf-8")
    slow.chmod(0o755)
    (tmp_path / "dcm2niix.py").write_text(f"bin, __version__ = {str(slow)!r}, '0'\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    with page_server(tmp_path / "temporary", weights) as server:

        def unpacked() -> list[Path]:
            walked = os.walk(server.temporary)  # which, unlike rglob, bears folders that are being removed
            return [
                Path(folder, name) for folder, _, names in walked for name in names if name.endswith(".dcm")
            ]

        def stopped_while_it_is_converted(stop: Callable[[str], object]) -> None:
            identity = server.upload("study.zip", study).json["id"]
            _until(begun.exists)
            begun.unlink()
            assert len(unpacked()) == 3
            assert [path.name for path in server.temporary.iterdir()] == [server.folders()[0].name]
            stop(identity)
            _until(lambda: not unpacked())

        stopped_while_it_is_converted(lambda job: server.ask("POST", f"/api/jobs/{job}/cancel"))
        stopped_while_it_is_converted(lambda _: os.kill(server.worker(), signal.SIGKILL))
        stopped_while_it_is_converted(lambda _: server.end(signal.SIGINT))
        assert list(server.temporary.iterdir()) == []


def _until(true: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    "said", ["""print('{"share": 0.1', end="")""", "import time; print('x' * 2**21); time.sleep(60)"]
)
def test_a_reply_that_is_none_ends_the_worker_in_one_line(said: str) -> None:
    async def replies() -> WorkerProcess:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", said),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        worker = WorkerProcess(process)
        with pytest.raises(PseudohealthyError, match="the process that did the work has ended"):
            async for _ in worker.replies({}):
                pass
        return worker

    assert asyncio.run(replies()).ended


def test_progress_is_told_and_grows(tmp_path: Path, weights: Path, image: Path) -> None:
    with page_server(tmp_path / "temporary", weights) as server:
        job = server.upload(image.name, image.read_bytes()).json
        seen = [job]
        while job["state"] not in ("done", "failed"):
            job = server.job(job["id"])
            seen.append(job)
        shares = [each["share"] for each in seen]
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert len(set(shares)) > 2
        assert {each["now"] for each in seen} > {"starting", "processing slices"}
