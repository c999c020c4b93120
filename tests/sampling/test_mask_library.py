"""Lesion masks of other volumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.sampling.mask_library import MaskLibrary
from pseudohealthy.sampling.random_streams import RandomStreams

STREAMS = RandomStreams(seed=0, batch_size=4)


def library(*subjects: str) -> MaskLibrary:
    table = pd.DataFrame({"subject": subjects, "row": range(10, 10 + len(subjects))})
    return MaskLibrary(np.zeros((20, 4, 4), np.uint8), table)


def test_masks_without_image_are_taken_first_then_those_of_the_slices(prepared: Prepared) -> None:
    assert MaskLibrary.of(prepared, prepared.slices).masks is prepared.mask_library
    own = MaskLibrary.of(replace(prepared, mask_library=None, mask_library_slices=None), prepared.slices)
    assert own.masks is prepared.masks
    assert set(own.table["label"]) == {"pathological"}
    healthy = prepared.slices[prepared.slices["label"] == "healthy"]
    with pytest.raises(InputError, match="no lesion mask in any training slice"):
        MaskLibrary.of(replace(prepared, mask_library=None, mask_library_slices=None), healthy)


def test_no_subject_gets_a_mask_of_its_own() -> None:
    subjects = ["A", "B", "A", "C"]
    seen = set()
    for step in range(20):
        rows = library("A", "A", "B").others(subjects, STREAMS, step, slice(None))
        whose = [("A", "A", "B")[row - 10] for row in rows]
        assert all(own != other for own, other in zip(subjects, whose, strict=True))
        assert library("A", "A", "B").others(subjects[1:3], STREAMS, step, slice(1, 3)).tolist() == [
            *rows[1:3]
        ]
        seen |= {*rows}
    assert seen == {10, 11, 12}


def test_where_all_masks_are_of_one_subject_it_cannot_have_another_s() -> None:
    library("A", "A").expect_others({"B"})
    library("A", "B").expect_others({"A", "B"})
    with pytest.raises(InputError, match="all lesion masks are of one volume"):
        library("A", "A").expect_others({"A", "B"})
