"""An image's time left, and its files."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pseudohealthy.serve.jobs import Job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job.of("../sub-01_FLAIR.nii.gz", tmp_path, blend=False)


def test_a_job_has_a_folder_of_its_own(tmp_path: Path, job: Job) -> None:
    other = Job.of("../sub-01_FLAIR.nii.gz", tmp_path, blend=False)
    assert job.image.parent.is_dir()
    assert job.image.name == "sub-01_FLAIR.nii.gz"
    assert job.folder.parent == tmp_path
    assert job.folder != other.folder


def test_the_time_left_follows_from_the_share_that_is_done(job: Job) -> None:
    assert job.seconds_left() is None
    job.begin()
    assert job.seconds_left() is None  # too early to tell
    job.share, job.began = 0.25, time.monotonic() - 10
    assert job.seconds_left() == pytest.approx(30, rel=0.01)
    job.finish("done", share=1.0)
    assert job.seconds_left() is None
    assert job.seconds == pytest.approx(10, abs=0.2)


def test_files_are_found_by_what_they_are_once_they_are_there(job: Job) -> None:
    job.result = {"files": {"healthy": "x.nii.gz"}}
    assert job.file("healthy") is None
    job.finish("done")
    assert job.file("healthy") == job.out / "x.nii.gz"
    assert job.file("../in/sub-01_FLAIR.nii.gz") is None
    assert job.seconds == 0  # the work never began
