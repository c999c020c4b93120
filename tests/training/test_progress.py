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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of progress, in seconds."""
    at = [1000.0]
    monkeypatch.setattr("pseudohealthy.training.progress.now", lambda: at[0])
    return at


def follow(bar: Bar, clock: list[float], seconds_each: float, steps: int) -> None:
    """Steps of 4 images, with losses after every tenth."""
    with bar:
        for step in range(1, steps + 1):
            clock[0] += seconds_each
            images = bar.start + 4 * step
            bar.advance(images)
            if step % 10 == 0:
                bar.advance(images, {"L_CC": 1 / step, "D_x": 0.5})


def test_without_a_terminal_lines_tell_images_time_left_and_losses(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    follow(Bar(200, 0, "paired (default)"), clock, 3, 50)
    assert capsys.readouterr() == (
        "",
        "paired (default): 16/200 images, 2 min left\n"
        "paired (default): 96/200 images, 78 s left; L_CC 0.050 D_x 0.500\n"
        "paired (default): 176/200 images, 18 s left; L_CC 0.025 D_x 0.500\n"
        "paired (default): 200/200 images in 2 min; L_CC 0.020 D_x 0.500\n",
    )


def test_a_resumed_run_counts_the_time_of_its_own_images(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    follow(Bar(16000, 8000, "paired"), clock, 10, 1)
    assert capsys.readouterr().err.splitlines()[0] == "paired: 8004/16000 images, 5.6 h left"


def test_where_time_decides_a_line_tells_the_time_that_passed(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    follow(Bar(None, 0, "paired"), clock, 10, 2)
    assert capsys.readouterr().err == "paired: 4 images in 10 s\npaired: 8 images in 20 s\n"


def test_a_short_run_a_broken_one_and_other_processes_have_no_last_line(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    follow(Bar(8, 0, "paired"), clock, 3, 2)
    follow(Bar(800, 0, "paired", visible=False), clock, 30, 200)
    assert capsys.readouterr() == ("", "")

    def interrupted() -> None:
        with Bar(800, 0, "paired") as bar:
            clock[0] += 20
            bar.advance(4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_terminal_that_draws_no_bar_gets_lines(
    capsys: pytest.CaptureFixture[str], clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as if it were a terminal
    monkeypatch.setenv("TERM", "dumb")
    follow(Bar(8, 0, "paired"), clock, 10, 1)
    assert "paired: 4/8 images, 10 s left" in capsys.readouterr().err


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
