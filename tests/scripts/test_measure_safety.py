"""What is measured of images without a lesion, in another contrast, or of no brain."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.models import saved
from pseudohealthy.data.out_of_distribution import FILE
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.model import Model
from scripts.measure_safety import (
    CONTRASTS,
    answer,
    beside_weights,
    contrasts,
    counted,
    inverted,
    measure_phantoms,
    no_brains,
    reaction,
    summary,
)


def model(folder: Path, *, finds: bool = False, **preprocessing: Any) -> Model:
    """A copier that knows the figures of the bundled weights' training data."""
    weights = saved(folder, copying=True, finds=finds, **preprocessing)
    shutil.copy(bundled_weights() / FILE, weights)
    return Model.load(weights, "cpu")


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model(tmp_path_factory.mktemp("copying"))


def test_a_summary_by_hand() -> None:
    values = range(101)
    assert summary(values) == {"median": 50, "p95": 95, "worst": 100}
    assert summary(values, best="high") == {"median": 50, "p5": 5, "worst": 0}


def test_a_copier_that_marks_nothing_is_honest_and_one_that_marks_all_is_not(tmp_path: Path) -> None:
    nothing = measure_phantoms(model(tmp_path / "nothing", spacing=4.0), 2, 6.0)
    assert nothing["number"] == 2
    assert nothing["each_marked_ml"] == [0, 0]
    assert nothing["mae"] == {"median": 0, "p95": 0, "worst": 0}
    assert nothing["ms_ssim"] == {"median": 1, "p5": 1, "worst": 1}
    everything = measure_phantoms(model(tmp_path / "everything", finds=True, spacing=4.0), 1, 6.0)
    assert everything["marked_percent"]["worst"] > 90
    beside = beside_weights(
        "abc", {"phantoms_2_mm": {"measured": everything}, "slices": {"measured": {"clean": nothing}}}
    )
    assert (beside.volumes.median, beside.volumes.number) == (everything["marked_ml"]["median"], 1)
    assert beside.slices is not None
    assert (beside.slices.p95, beside.slices.number) == (0, 2)


def test_reactions_are_counted() -> None:
    reactions = ["taken", "warned", "refused", "warned"]
    assert counted(reactions) == {"images": 4, "warned": 2, "refused": 1}


def test_a_phantom_is_recognised_as_flair_and_its_negative_is_not(copying: Model) -> None:
    images = contrasts(1, spacing=2.0)
    assert list(images) == ["FLAIR", *CONTRASTS, "inverted"]
    reactions = {name: reaction(each, copying) for name, each in images.items()}
    assert reactions["FLAIR"] == "taken"
    noticed = {name for name, each in reactions.items() if each in ("warned", "refused")}
    assert {"inverted", "T2", "PD", "CT-like"} <= noticed
    assert reactions["PD"] == "warned"
    flair, negative = images["FLAIR"], images["inverted"]
    assert (flair.brain == (flair.data > 0)).all()
    assert negative.data[~flair.brain].max() == 0
    brain = flair.brain & (flair.data < flair.data.max())
    np.testing.assert_allclose(inverted(negative).data[brain], (flair.data - flair.data[brain].min())[brain])


def test_what_holds_no_brain_is_refused_or_warned_of(copying: Model) -> None:
    answers = {what: answer(each, copying) for what, each in no_brains().items()}
    refused = {"empty", "one value", "noise"}
    assert {what for what, each in answers.items() if each["answer"] == "refused"} == refused
    assert {each["answer"] for what, each in answers.items() if what not in refused} == {"warned"}
    assert answers["empty"]["message"] == "every value of the array is 0; expected an image"
    assert np.count_nonzero(no_brains()["a brain of 20 voxels"]) == 20
