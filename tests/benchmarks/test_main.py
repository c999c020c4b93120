"""Rows of one machine stand together, and a wrong option is answered in one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as program
from benchmarks import growth
from benchmarks.page import page


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    program.main()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "hours,tea"], "'tea' is no part"),
        (["--width", "2"], "networks.width is 2"),
        (["--quick"], "an --out"),
        (["--page-only", "--out", "none.json"], "nothing was measured yet"),
    ],
)
def test_a_wrong_option_is_refused(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, *arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_rows_of_other_parts_stay_and_those_of_another_machine_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, written = tmp_path / "performance.json", tmp_path / "performance.md"
    options = ["--quick", "--parts", "hours", "--device", "cpu", "--out", str(out), "--page", str(written)]
    run(monkeypatch, *options)
    first = json.loads(out.read_text())
    row = {
        "name": "torchrun_two_processes",
        "times_as_fast": {"median": 1, "lowest": 1, "highest": 1},
        "date": "2026-11-23",
    }
    for machine in (first["machine"], "another"):
        out.write_text(json.dumps({**first, "machine": machine, "rows": [row]}))
        run(monkeypatch, *options)
        assert row["name"] in {row["name"] for row in json.loads(out.read_text())["rows"]}
        text = written.read_text()
        assert text == page(json.loads(out.read_text()))
        elsewhere = machine == "another"
        assert (f"| {row['name']} † |" in text) == elsewhere
        assert (f"† Not of this machine and PyTorch: {machine}; " in text) == elsewhere
    out.write_text(json.dumps({**first, "config": {**first["config"], "quick": False}, "rows": [row]}))
    run(monkeypatch, *options)
    assert row["name"] not in {row["name"] for row in json.loads(out.read_text())["rows"]}


def test_a_part_that_fails_leaves_what_the_others_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "performance.json"

    def broken(*_: object) -> list[dict[str, object]]:
        raise MemoryError

    monkeypatch.setattr(growth, "rows", broken)
    options = ["--quick", "--parts", "hours,growth", "--device", "cpu", "--out", str(out)]
    with pytest.raises(MemoryError):
        run(monkeypatch, *options, "--page", str(tmp_path / "performance.md"))
    assert json.loads(out.read_text())["config"]["quick"]


def test_the_page_says_what_the_measurements_say() -> None:
    result = program.ROOT / "results/performance.json"
    if not result.is_file():
        pytest.skip("nothing was measured yet: make bench")
    page_text = (program.ROOT / "docs/performance.md").read_text(encoding="utf-8")
    assert page_text == page(json.loads(result.read_text(encoding="utf-8"))), "run with --page-only"


def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *parts: str) -> dict[str, dict[str, Any]]:
    """The rows of these parts, by name, measured badly."""
    out = tmp_path / "performance.json"
    paths = ["--out", str(out), "--page", str(tmp_path / "performance.md")]
    run(monkeypatch, "--quick", "--width", "4", "--device", "cpu", "--parts", ",".join(parts), *paths)
    return {row["name"]: row for row in json.loads(out.read_text())["rows"]}


@pytest.mark.slow
def test_every_part_of_the_short_form_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = [part for part in program.PARTS if part not in program.LONG]
    rows = measured(tmp_path, monkeypatch, *short)
    assert {
        "volume_w4",
        "volume_embedded",
        "uncertainty_embedded",
        "cold_help",
        "table1_phantom",
    } <= rows.keys()
    assert {"G_torch_w4", "S_torch_w4", "train_step_paired_w4_b4"} <= rows.keys()
    assert rows["G_torch_w4"]["vs_eager_fp32"]["median"] == 1


@pytest.mark.torture
def test_every_part_of_the_long_form_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = measured(tmp_path, monkeypatch, *program.LONG)
    assert {"growth_6_volumes", "torchrun_two_processes", "volumes_at_once", "asleep_alone"} <= rows.keys()
    assert {"earlier_volume", "earlier_slice", "earlier_training"} <= rows.keys()
    assert {"tried_compiled_w4_b4", "kernels_paired_w4_b4", "convolutions_G_w4"} <= rows.keys()
    assert {"memory_kept_w4_b4", "waiting_paired_w4_b4", "twice_the_batch_w4_b8"} <= rows.keys()
    for warm_up in ("with", "without"):
        row = rows[f"balance_{warm_up}_warm_up"]
        assert row["checkpoints"] > 0
        assert set(row["minutes_until_balance"]) == {"0.5", "0.6", "0.7"}
