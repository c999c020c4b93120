"""The order of images, what is taken, and how long one has to wait."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from pseudohealthy.serve.job_queue import JobQueue, QueueFullError
from pseudohealthy.serve.jobs import Job
from pseudohealthy.serve.limits import Limits


def queue_of(folder: Path, count: int) -> tuple[JobQueue, list[Job]]:
    """Images that wait, without anyone who works."""
    queue = JobQueue(folder, folder, Limits(jobs=4, uploads=1))
    jobs = []
    for number in range(count):
        jobs.append(queue.add(f"{number}.nii", blend=False))
        queue.enqueue(jobs[-1])
    return queue, jobs


def test_the_time_left_is_that_of_all_before_it(tmp_path: Path) -> None:
    queue, (done, working, first, second) = queue_of(tmp_path, 4)
    assert [queue.place(job) for job in (first, second)] == [2, 3]
    assert queue.seconds_left(second) is None  # nothing was done yet
    done.began = time.monotonic() - 20
    done.finish("done")
    working.begin()
    assert queue.seconds_left(working) is None
    assert queue.seconds_left(first) == pytest.approx(40, rel=0.02)
    working.share, working.began = 0.5, time.monotonic() - 15
    assert queue.seconds_left(working) == pytest.approx(15, rel=0.02)
    assert queue.seconds_left(second) == pytest.approx(15 + 2 * 20, rel=0.02)
    assert queue.seconds_left(done) is None


def test_no_more_are_taken_than_fit(tmp_path: Path) -> None:
    queue, jobs = queue_of(tmp_path, 3)
    last = queue.add("last.nii", blend=False)
    with pytest.raises(QueueFullError, match="1 images are being uploaded already"):
        queue.add("more.nii", blend=False)
    queue.enqueue(last)
    with pytest.raises(QueueFullError, match="4 images are in the list, the most it takes; remove some"):
        queue.add("more.nii", blend=False)
    asyncio.run(queue.remove(jobs[0]))
    assert not jobs[0].folder.exists()
    assert queue.add("more.nii", blend=False).state == "uploading"


def test_where_no_worker_can_be_started_images_are_told_why_until_one_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def started() -> None:
        queue, (first, second) = queue_of(tmp_path, 2)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(tmp_path / "absent"))
            async with queue, asyncio.timeout(60):
                while first.state == "waiting":
                    await asyncio.sleep(0.01)
                assert (first.state, second.state) == ("failed", "waiting")
                assert first.error == (
                    "the process that does the work cannot be started (No such file or directory); close "
                    "other programs, or make room on the disk, and try again"
                )
                assert not first.folder.exists()
                await queue.cancel(second)
                patch.undo()
                while queue.worker is None:
                    await asyncio.sleep(0.01)

    asyncio.run(started())


def test_an_image_is_not_removed_while_its_files_are_put_into_a_zip(tmp_path: Path) -> None:
    queue, (job,) = queue_of(tmp_path, 1)
    job.finish("done")

    async def removed() -> None:
        async with job.archiving:
            removal = asyncio.create_task(queue.remove(job))
            await asyncio.sleep(0.2)
            assert (job.folder.exists(), queue.jobs) == (True, {})
        await removal
        assert not job.folder.exists()

    asyncio.run(removed())


def test_what_is_finished_is_not_cancelled(tmp_path: Path) -> None:
    queue, (job, other) = queue_of(tmp_path, 2)
    job.finish("failed", error="why")
    asyncio.run(queue.cancel(job))
    asyncio.run(queue.cancel(other))
    assert (job.state, job.error, other.state) == ("failed", "why", "cancelled")
    assert not other.folder.exists()
