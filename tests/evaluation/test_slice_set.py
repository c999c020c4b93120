"""The slices of a split: which they are, whose, and which of them are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fixtures.drawn_cohort import BOX, HEIGHTS, Drawn, drawn, rows_of_split, without
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.slice_set import SliceSet, volume_names


@pytest.fixture(scope="module")
def cohort() -> Prepared:
    return drawn()


def case(masks: Any, volumes: list[str]) -> SliceSet:
    """Slices of which only the masks and whose they are matter."""
    return SliceSet(np.asarray(masks, np.float32), masks, np.array(volumes))


def test_pathological_slices_of_a_split_and_no_others(cohort: Prepared) -> None:
    found = SliceSet.of(cohort, "val")
    assert found.subjects.tolist() == found.volumes.tolist() == ["V1", "V1", "V2"]
    assert found.required("z").tolist() == [1, 2, 3]
    np.testing.assert_array_equal(found.required("heights"), HEIGHTS[[1, 2, 3]])
    assert found.spacing == (1.0, 1.0)
    assert found.masks.dtype == bool
    assert found.masks[:, *BOX].all()
    assert found.masks.sum() == 3 * 80
    assert [float(image[22, 14]) for image in found.images] == pytest.approx([0.70, 0.70, 0.72])


def test_healthy_slices_have_black_masks_and_are_their_own_truth(cohort: Prepared) -> None:
    found = SliceSet.of(cohort, "test", "healthy")
    assert found.subjects.tolist() == [name for name in ("T1", "T2", "T3", "T4") for _ in range(2)]
    assert not found.masks.any()
    assert found.truth is not None
    np.testing.assert_array_equal(found.truth, found.images)


def test_the_truth_is_that_of_the_same_slices_or_none(cohort: Prepared) -> None:
    found = SliceSet.of(cohort, "test")
    assert found.truth is not None
    assert cohort.truth is not None
    np.testing.assert_array_equal(found.truth, cohort.truth[rows_of_split(cohort, "test")])
    np.testing.assert_array_equal(found.truth[~found.masks], found.images[~found.masks])
    assert SliceSet.of(without(cohort, truth=None), "test").truth is None


def test_the_brain_is_what_is_not_black(cohort: Prepared) -> None:
    found = SliceSet.of(cohort, "test")
    assert found.brains.sum(axis=(1, 2)).tolist() == [found.brains[0].sum()] * len(found.images)
    assert not found.brains[:, 0, 0].any()
    assert found.brains[:, 31, 23].all()


def test_the_order_of_the_table_does_not_mix_slices_up(cohort: Prepared) -> None:
    turned = without(cohort, slices=cohort.slices.iloc[::-1])
    found = SliceSet.of(turned, "val")
    assert found.required("z").tolist() == [3, 2, 1]
    assert found.images[0][22, 14] == np.float32(0.72)


def test_a_kind_of_slice_that_is_not_there_is_told() -> None:
    only_test = drawn(Drawn("T1", "test", (1,), (), 0.8))
    with pytest.raises(InputError, match="no pathological val slice"):
        SliceSet.of(only_test, "val")
    with pytest.raises(InputError, match="no healthy test slice"):
        SliceSet.of(only_test, "test", "healthy")
    with pytest.raises(InputError, match="no unlabelled test slice"):
        SliceSet.of(only_test, "test", "unlabelled")


def test_sessions_of_a_subject_are_volumes_of_their_own(cohort: Prepared) -> None:
    table = pd.DataFrame({"subject": ["01", "01", "02", "01"], "session": ["a", "b", "n/a", "a"]})
    assert volume_names(table).tolist() == ["01_ses-a", "01_ses-b", "02", "01_ses-a"]
    slices = cohort.slices.copy()
    slices.loc[slices["z"] == 2, "session"] = "later"
    found = SliceSet.of(without(cohort, slices=slices), "val")
    assert found.volumes.tolist() == ["V1", "V1_ses-later", "V2"]
    assert found.subjects.tolist() == ["V1", "V1", "V2"]


def test_the_largest_lesion_of_each_volume_the_smaller_volume_first() -> None:
    """Volumes of 10, 8 and 10 pixels, whose slices are not neighbours; of equal slices the first."""
    volumes, areas = ["b", "a", "c", "a", "b", "c"], [9, 3, 5, 5, 1, 5]
    masks = np.arange(16) < np.array(areas)[:, None]
    found = case(masks.reshape(6, 4, 4), volumes).largest()
    assert found.tolist() == [3, 0, 2]


def test_anybody_s_arrays_are_slices_of_which_less_is_known() -> None:
    found = case(np.ones((3, 4, 4), dtype=bool), ["b", "a", "b"])
    assert len(found) == 3
    assert found.subjects.tolist() == ["b", "a", "b"]
    for name in ("z", "heights", "truth"):
        with pytest.raises(InputError, match=f"the slices' {name} is not known; give the SliceSet {name}="):
            found.required(name)


def test_some_of_the_slices_keep_all_that_is_known_of_them(cohort: Prepared) -> None:
    full, rows = SliceSet.of(cohort, "val"), np.array([2, 0])
    some = full.at(rows)
    for name in ("images", "masks", "volumes", "subjects", "z", "heights", "truth"):
        np.testing.assert_array_equal(getattr(some, name), getattr(full, name)[rows])
    assert some.spacing == full.spacing
    assert len(full.at(np.arange(0))) == 0
    assert case(np.ones((3, 4, 4), dtype=bool), ["b", "a", "b"]).at(rows).z is None


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    images, names = np.ones((3, 4, 4)), np.array(["b", "a", "b"])
    changes: list[tuple[dict[str, Any], str]] = [
        ({"images": images[0]}, r"images have shape \(4, 4\), expected \(N, H, W\)"),
        ({"masks": images[1:]}, r"masks have shape \(2, 4, 4\), but images have \(3, 4, 4\)"),
        ({"truth": images[:, 1:]}, r"truth have shape \(3, 3, 4\)"),
        ({"volumes": names[1:]}, r"volumes has shape \(2,\), expected one a slice, \(3,\)"),
        ({"subjects": names[1:]}, "subjects has shape"),
        ({"z": np.arange(2)}, "z has shape"),
        ({"heights": np.zeros((3, 1))}, "heights has shape"),
    ]
    for change, message in changes:
        with pytest.raises(InputError, match=message):
            SliceSet(**{"images": images, "masks": images > 0, "volumes": names, **change})
