"""The demo's choices and its verdict; a make target runs the demo itself."""

from __future__ import annotations

import io
from collections.abc import Hashable
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.experiment.demo import MADE, _check, _held_out, _table, run_demo

SCORES: dict[Hashable, float] = {
    "truth_phantom.mae_ratio": 0.25,
    "identity_normalised": 0.9876,
    "truth_phantom.inside.psnr": 23.44,
    "truth_phantom.outside.psnr": 31.06,
}


def test_the_patient_shown_is_the_held_out_one_with_the_largest_lesion() -> None:
    rows = [
        ("P001", "train", 900),
        ("P002", "test", 60),
        ("P002", "test", 60),
        ("P003", "test", 100),
        ("P004", "val", 500),
    ]
    assert _held_out(pd.DataFrame(rows, columns=["subject", "split", "lesion_voxels"])) == "P002"


@pytest.mark.parametrize(("error", "identity"), [(0.25, 0.98), (0.4, 0.9), (0.0, 1.0)])
def test_a_good_model_passes(error: float, identity: float) -> None:
    _check({**SCORES, "truth_phantom.mae_ratio": error, "identity_normalised": identity})


@pytest.mark.parametrize(
    ("error", "identity"),
    [(0.41, 0.98), (0.25, 0.89), (1.0, 1.0), (float("nan"), 0.98), (0.25, float("nan"))],
)
def test_a_bad_model_fails_with_its_numbers(error: float, identity: float) -> None:
    with pytest.raises(PseudohealthyError, match="not good enough") as failure:
        _check({**SCORES, "truth_phantom.mae_ratio": error, "identity_normalised": identity})
    assert f"{error:.2f} of the input's own (at most 0.4)" in str(failure.value)
    assert f"identity {identity:.3f} (at least 0.9)" in str(failure.value)
    assert failure.value.exit_code == 1


def test_the_table_sets_the_measured_beside_the_required() -> None:
    shown = io.StringIO()
    Console(file=shown, width=120).print(_table(SCORES))
    lines = shown.getvalue().splitlines()
    error, identity = (next(line for line in lines if name in line) for name in ("error inside", "identity"))
    assert [word for word in error.split() if word[0].isdigit()] == ["0.25", "0.4", "1.00"]
    assert [word for word in identity.split() if word[0].isdigit()] == ["0.988", "0.9", "1.000"]
    assert "23.4" in shown.getvalue()
    assert "31.1" in shown.getvalue()


@pytest.mark.parametrize("name", MADE)
def test_files_that_no_demo_wrote_are_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"{name}: exists already, and is no demo's; choose another folder"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
