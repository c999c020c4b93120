"""Processes that finish what they do after an error, and end at once when interrupted."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from pathlib import Path

import pytest

from pseudohealthy.processes import _Process, processes


def work(folder: Path, seconds: float) -> None:
    """Leave a file after a while, and until then something half written."""
    with tempfile.TemporaryDirectory(prefix="part-", dir=folder) as part:
        (Path(part) / "half").touch()
        time.sleep(seconds)
        (folder / "done").touch()


def wait_for(folder: Path, names: str) -> None:
    deadline = time.monotonic() + 60
    while not list(folder.glob(names)) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_after_an_error_what_was_begun_is_finished(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wrong"), processes(1) as pool:  # noqa: PT012
        pool.submit(work, tmp_path, 1.0)
        waiting = [pool.submit(work, tmp_path / "none", 0.0) for _ in range(5)]
        wait_for(tmp_path, "part-*/half")
        raise ValueError("wrong")
    wait_for(tmp_path, "done")
    assert (tmp_path / "done").exists()
    assert waiting[-1].cancelled()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_ends_them_at_once_and_nothing_half_written_is_left(
    tmp_path: Path, interruption: type[BaseException]
) -> None:
    began = time.monotonic()
    with pytest.raises(interruption), processes(2) as pool:  # noqa: PT012
        pool.submit(work, tmp_path, 600.0)
        wait_for(tmp_path, "part-*/half")
        pool.submit(time.sleep, 600.0)  # whose process is only starting
        raise interruption
    assert time.monotonic() - began < 120
    assert list(tmp_path.iterdir()) == []
    deadline = time.monotonic() + 10  # until the pool's own thread, which may wait for them too, has noted it
    while alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive()


def alive() -> list[str]:
    """Names of our processes that have not ended."""
    return [child.name for child in multiprocessing.active_children() if isinstance(child, _Process)]
