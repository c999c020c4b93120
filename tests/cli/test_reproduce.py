"""The command `reproduce`: what it refuses before it does anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.command_line import Run, refused
from fixtures.experiments import SMOKE
from pseudohealthy import dask_cluster


def test_jobs_and_a_cluster_exclude_each_other(run: Run, tmp_path: Path) -> None:
    cluster = ("--dask", "tcp://127.0.0.1:1")
    refused(
        run("reproduce", SMOKE, "-o", tmp_path / "out", "--jobs", 1, *cluster),
        "--jobs and --dask: expected one",
    )
    assert not (tmp_path / "out").exists()


def test_a_cluster_that_does_not_answer_is_told_before_anything_is_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_cluster, "SCHEDULER_TIMEOUT", 1)
    ran = run("reproduce", SMOKE, "-o", tmp_path / "out", "--dask", "tcp://127.0.0.1:1")
    refused(ran, "--dask tcp://127.0.0.1:1: no scheduler answers there")
    assert not (tmp_path / "out").exists()
