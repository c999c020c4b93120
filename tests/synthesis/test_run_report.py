"""The report's figures, against counts by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fixtures.brains import flair, tissues
from pseudohealthy.config import Preprocessing
from pseudohealthy.data.out_of_distribution import SIGNS
from pseudohealthy.data.volume import volume_from_array
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.run_report import (
    BRIGHTNESS_LIMIT,
    NOT_COMPARED,
    RunReport,
    brightness_warnings,
    change,
    millilitres,
    out_of_distribution,
    through_plane_change,
)
from pseudohealthy.synthesis.synthesize import synthesize


def test_change_is_counted_in_the_brain_alone() -> None:
    x = np.zeros((1, 10, 10), dtype=np.float32)
    x_tilde = x + np.linspace(0, -0.99, 100, dtype=np.float32).reshape(x.shape)
    brain = np.ones(x.shape, dtype=np.bool_)
    assert change(x, x_tilde, brain) == {"mean": 0.495, "p99": pytest.approx(0.9801, abs=1e-4)}
    brain[0, 5:] = False
    assert change(x, x_tilde, brain)["mean"] == pytest.approx(0.245)


def test_through_plane_change_is_that_of_neighbouring_slices_in_the_brain() -> None:
    x = np.array([0.1, 0.3, 0.1, 0.1], dtype=np.float32)[:, None, None] * np.ones((4, 2, 2), np.float32)
    brain = np.ones(x.shape, dtype=np.bool_)
    assert through_plane_change(x, x, brain) == {
        "through_plane_inconsistency": 1,
        "brightness_inconsistency": 1,
    }
    jagged = np.array([0.1, 0.5, 0.1, 0.1], dtype=np.float32)[:, None, None] * np.ones((4, 2, 2), np.float32)
    assert through_plane_change(x, jagged, brain)["through_plane_inconsistency"] == pytest.approx(
        (0.8 + 0.4) / (0.4 + 0.2)
    )
    brain[0] = False
    assert through_plane_change(x, jagged, brain)["through_plane_inconsistency"] == pytest.approx(2)
    brain[3] = False
    assert through_plane_change(x, jagged, brain) == {
        "through_plane_inconsistency": None,
        "brightness_inconsistency": None,
    }


def test_the_report_of_one_volume_brings_no_pandas() -> None:
    code = (
        "import sys, numpy as np; from pseudohealthy.synthesis.run_report import through_plane_change; "
        "x = np.ones((4, 2, 2)); through_plane_change(x, x, x > 0); sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_inconsistent_brightness_is_warned_of() -> None:
    assert brightness_warnings(None) == brightness_warnings(BRIGHTNESS_LIMIT) == ()
    (warning,) = brightness_warnings(2.34)
    assert "2.3 times as much as the input's" in warning


def reference(limit: float) -> dict[str, object]:
    figures = {name: {"median": -10.0, "deviation": 1.0} for name in SIGNS}
    return {"format": 1, "data": "abc", "volumes": 7, "figures": figures, "farthest": 1.0, "limit": limit}


def test_an_image_out_of_distribution_is_warned_of() -> None:
    x = tissues()
    report, warnings = out_of_distribution(x, x > 0, Preprocessing(), reference(5))
    assert not isinstance(report, str)
    assert report["distance"] > report["limit"] == 5
    assert len(warnings) == 1
    assert warnings[0].startswith("the image is out of distribution: it differs from the 7 volumes that")
    assert warnings[0].endswith("Is it a FLAIR?")
    assert out_of_distribution(x, x > 0, Preprocessing(), reference(1000))[1] == ()


def test_only_slices_as_trained_on_are_compared() -> None:
    x = tissues()
    brain = x > 0
    settings = Preprocessing(slice_selection="half_area")
    expected = out_of_distribution(x[:2], brain[:2], settings, reference(5))
    brain[2, 20:] = False  # too small a slice
    assert out_of_distribution(x, brain, settings, reference(5)) == expected


def test_the_report_says_why_an_image_could_not_be_compared() -> None:
    x = tissues()
    report, warnings = out_of_distribution(x, x > 0, Preprocessing(), None)
    assert (report, warnings) == ("not compared: the weights carry no figures of their training data", ())
    small = x[:, 38:58, 38:58]
    assert out_of_distribution(small, small > 0, Preprocessing(), reference(5)) == (
        NOT_COMPARED,
        (f"the image was {NOT_COMPARED}. Is it a brain?",),
    )


@pytest.mark.parametrize("blend", [False, True])
def test_a_report_holds_the_keys_of_its_type_and_no_others(
    tmp_path: Path, fresh: Model, *, blend: bool
) -> None:
    report = synthesize(flair(tmp_path / "scan.nii"), fresh, blend=blend).report
    assert set(report) == RunReport.__required_keys__ | ({"blend"} if blend else set())
    assert list(report)[-3:] == ["warnings", "seconds", "research_use"]


def test_sizes_are_in_millilitres() -> None:
    volume = volume_from_array(np.arange(120.0).reshape(4, 5, 6), (3.0, 2.0, 1.0))
    where = np.zeros(volume.data.shape, dtype=np.bool_)
    where[1:3, 2] = True
    assert millilitres(where, volume) == round(np.count_nonzero(where) * 6 / 1000, 3) > 0
