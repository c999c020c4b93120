"""The lines of metrics and the progress bar."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pseudohealthy.errors import InputError
from pseudohealthy.training.progress import Bar, Metrics


def test_lines_after_the_resumed_image_and_half_lines_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, {"images": 0})
    for images in (40, 80, 120):
        metrics.write({"images": images}, {"L_CC": images / 1000})
    with path.open("a") as file:
        file.write('{"images": 160, "L_C')
    Metrics(path, {"images": 80}).write({"images": 120}, {"L_CC": 0.5})
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [{"images": 40, "L_CC": 0.04}, {"images": 80, "L_CC": 0.08}, {"images": 120, "L_CC": 0.5}]


def test_lines_of_a_warm_up_stay_for_a_run_resumed_after_it_and_go_for_one_resumed_within_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [{"images": 0, "warm_up_images": 40}, {"images": 0, "warm_up_images": 80}]
    lines += [{"images": images, "warm_up_images": 80} for images in (40, 80)]
    metrics = Metrics(path, {"images": 0})
    for line in lines:
        metrics.write(line, {})
    Metrics(path, {"images": 40, "warm_up_images": 80})
    assert [json.loads(line) for line in path.read_text().splitlines()] == lines[:3]
    Metrics(path, {"images": 0, "warm_up_images": 40})
    assert [json.loads(line) for line in path.read_text().splitlines()] == lines[:1]


def test_without_a_terminal_a_line_has_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pseudohealthy.training.progress.QUIET_SECONDS", -1)
    with Bar(100, 0, "paired") as bar:
        bar.advance(50, {"L_CC": 0.1})
    assert "paired: 50/100 images, 0 min left" in capsys.readouterr().err
    with Bar(None, 0, "paired") as bar:
        bar.advance(50)
    assert "paired: 50 images in 0 min" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"{images: 80}\n", "not JSON"),
        (b"[80]\n", "found a list"),
        (b'{"images": null}\n', "NoneType"),
        (b'{"images": ' + b"9" * 5000 + b"}\n", "5000 digits"),
        (b"\n", "it is empty"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_lost(tmp_path: Path, broken: bytes, reason: str) -> None:
    path = tmp_path / "metrics.jsonl"
    content = b'{"images": 40}\n' + broken + b'{"images": 120}\n'
    path.write_bytes(content)
    with pytest.raises(InputError) as failure:
        Metrics(path, {"images": 120})
    assert str(failure.value).startswith(f"{path}: line 2 is no line of metrics (")
    assert reason in str(failure.value)
    assert "delete this line or the file" in str(failure.value)
    assert path.read_bytes() == content


def test_metrics_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\xff\n")
    with pytest.raises(InputError, match=r"cannot be read .*; delete it, the run goes on without it"):
        Metrics(path, {"images": 0})


def test_a_pipe_in_the_place_of_metrics_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(InputError, match="expected a file, found a folder, pipe or device"):
        Metrics(tmp_path / "metrics.jsonl", {"images": 0})
