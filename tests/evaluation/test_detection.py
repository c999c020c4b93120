from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pseudohealthy.evaluation.detection import by_size, detection, false_alarms, lesions

VOLUMES = np.array(["b", "a", "b"])
SPACING = (2.0, 1.5)


def case() -> tuple[np.ndarray, np.ndarray]:
    """Three slices. In "b", four lesions of 20, 20, 2 and 30 pixels; in "a" none."""
    masks, found = np.zeros((2, 3, 24, 24), dtype=np.uint8)
    masks[0, 2:6, 2:7] = 1
    masks[0, 10:14, 2:7] = 4
    masks[0, 20, 20] = masks[0, 21, 21] = 1  # one lesion: its pixels meet at a corner
    masks[2, 5:10, 5:11] = 1
    found[0, 2, 2:4] = 1  # 2 of 20 pixels: just enough
    found[0, 10, 2] = 1  # 1 of 20: too few
    found[0, 20, 22] = 1  # beside a lesion, with no pixel in it
    found[1, :3, :3] = found[1, 3, 3] = 1  # one component, by its corner
    found[1, 10, 10] = 1
    found[2, 4:12, 4:12] = 1
    return found, masks


def test_each_lesion_by_hand() -> None:
    table = lesions(*case(), VOLUMES, SPACING)
    expected = {
        "volume": ["b", "b", "b", "b"],
        "slice": [0, 0, 0, 2],
        "area_mm2": [60.0, 60.0, 6.0, 90.0],
        "detected": [True, False, False, True],
    }
    pd.testing.assert_frame_equal(table, pd.DataFrame(expected), check_dtype=False)
    strict = lesions(*case(), VOLUMES, SPACING, least_share=0.5)
    assert strict["detected"].tolist() == [False, False, False, True]


def test_a_tenth_is_enough_at_every_size() -> None:
    for tens in range(1, 24):
        masks, found = np.zeros((2, 1, tens, 10), dtype=np.uint8)
        masks[:], found[..., 0] = 1, 1
        assert lesions(found, masks, ["a"], (1, 1))["detected"].tolist() == [True]


def test_marked_components_without_a_lesion_are_counted_by_slice() -> None:
    alarms = false_alarms(*case(), VOLUMES)
    assert alarms.to_dict() == {"b": 1 / 2, "a": 2.0}


def test_by_volume() -> None:
    table = detection(*case(), VOLUMES, SPACING)
    assert table.index.tolist() == ["b", "a"]
    assert table["detection.rate"].tolist() == pytest.approx([2 / 4, np.nan], nan_ok=True)
    assert table["detection.false_alarms_per_slice"].tolist() == [1 / 2, 2]


def test_by_size_a_bin_begins_where_the_last_ends() -> None:
    areas = [3, 49.9, 50, 199, 200, 999, 1000, 9999]
    given = pd.DataFrame({"area_mm2": areas, "detected": [0, 1, 0, 0, 1, 1, 1, 0]})
    table = by_size(given.astype({"detected": bool}))
    assert table.index.tolist() == ["<50", "50-200", "200-1000", ">=1000"]
    assert table["lesions"].tolist() == [2, 2, 2, 2]
    assert table["detected"].tolist() == [1, 0, 2, 1]
    assert table["rate"].tolist() == [0.5, 0, 1, 0.5]


def test_an_empty_bin_has_no_rate() -> None:
    rate = by_size(lesions(*case(), VOLUMES, SPACING))["rate"]
    assert rate.tolist()[:2] == pytest.approx([0, 2 / 3])
    assert rate.isna().tolist() == [False, False, True, True]
    nothing = np.zeros((3, 24, 24), dtype=np.uint8)
    assert by_size(lesions(nothing, nothing, VOLUMES, SPACING))["rate"].isna().all()
