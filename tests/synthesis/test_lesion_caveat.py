"""The sentence beside a lesion volume says what was measured, of these weights and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.models import saved
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.bundled_weights import bundled_weights, describe_weights
from pseudohealthy.synthesis.lesion_caveat import FILE, NOT_MEASURED, LesionFree, Marked, lesion_caveat

VOLUMES = Marked(of="synthetic brains without a lesion", number=10, median=6.13, p95=40.96, worst=50)
SLICES = Marked(of="real slices without one", number=30, median=0.04, p95=2.5, worst=7)


def measured(folder: Path, slices: Marked | None = SLICES) -> LesionFree:
    sha256 = describe_weights(folder)["sha256"]
    return LesionFree(format=1, sha256=sha256, volumes=VOLUMES, slices=slices)


def test_the_figures_stand_in_the_sentence(tmp_path: Path) -> None:
    weights = saved(tmp_path)
    assert lesion_caveat(describe_weights(weights)) == NOT_MEASURED
    measured(weights).write(weights)
    assert lesion_caveat(describe_weights(weights)) == (
        "these weights mark healthy tissue, too: 6.1 ml (95 %: up to 41.0) in 10 synthetic brains without a "
        "lesion, and 0.0 % of the brain (95 %: up to 2.5) in 30 real slices without one"
    )
    measured(weights, None).write(weights)
    assert lesion_caveat(describe_weights(weights)).endswith("in 10 synthetic brains without a lesion")


def test_what_was_measured_of_other_weights_is_not_of_these(tmp_path: Path) -> None:
    weights = saved(tmp_path)
    measured(weights).model_copy(update={"sha256": "another"}).write(weights)
    assert lesion_caveat(describe_weights(weights)) == NOT_MEASURED


def test_a_damaged_measurement_is_refused(tmp_path: Path) -> None:
    weights = saved(tmp_path)
    (weights / FILE).write_text(json.dumps({**measured(weights).model_dump(), "format": 2}))
    with pytest.raises(InputError, match=r"lesion_free\.json: of another version; remove it"):
        describe_weights(weights)
    (weights / FILE).write_text("{")
    with pytest.raises(InputError, match=r"lesion_free\.json: cannot be read"):
        describe_weights(weights)


def test_the_bundled_weights_were_measured() -> None:
    description = describe_weights(bundled_weights())
    assert lesion_caveat(description) != NOT_MEASURED, "run scripts/measure_safety.py on these weights"
