from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from pseudohealthy.evaluation.anomaly import anomaly

VOLUMES = np.array(["b", "a", "b"])


def test_of_each_volume_the_map_and_the_raw_image_are_ranked_over_its_brain() -> None:
    rng = np.random.default_rng(0)
    images, outputs = rng.random((2, 3, 12, 10), dtype=np.float32)
    masks = (rng.random(images.shape) < 0.2).astype(np.uint8)
    brains = rng.random(images.shape) < 0.7
    table = anomaly(images, outputs, masks, brains, VOLUMES)
    assert table.index.tolist() == ["b", "a"]
    assert table.index.name == "volume"
    for volume in "ab":
        rows = volume == VOLUMES
        kept, truth = brains[rows], masks[rows][brains[rows]]
        for column, scores in {"": np.abs(images - outputs), "_flair": images}.items():
            expected = average_precision_score(truth, scores[rows][kept])
            assert table.loc[volume, f"anomaly_auprc{column}"] == pytest.approx(expected, abs=1e-9)


def test_a_lesion_that_is_removed_is_found_dark_or_bright() -> None:
    healthy = np.full((3, 8, 8), 0.5, dtype=np.float32)
    masks = np.zeros(healthy.shape, dtype=np.uint8)
    masks[:, 2:5, 2:4] = 1
    table = anomaly(healthy - 0.3 * masks, healthy, masks, healthy > 0, VOLUMES)
    assert table["anomaly_auprc"].tolist() == [1, 1]
    assert (table["anomaly_auprc_flair"] <= 6 / 64).all()  # nothing in it is brighter than a dark lesion


def test_a_copy_finds_nothing_and_background_does_not_help() -> None:
    images = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    masks, brains = np.zeros((2, *images.shape), dtype=np.uint8)
    brains[:, 2:] = 1
    masks[:2, 3, :6] = 1
    table = anomaly(images, images, masks, brains, VOLUMES)
    assert table["anomaly_auprc"].tolist() == pytest.approx([6 / 96, 6 / 48])
    masks[1] = 0
    assert np.isnan(anomaly(images, images, masks, brains, VOLUMES).loc["a"]).all()
