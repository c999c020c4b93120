"""Healthy slices near a height."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pseudohealthy.sampling.healthy import HealthySlices
from pseudohealthy.sampling.random_streams import RandomStreams

HEIGHTS = [0.0, 0.1, 0.2, 0.5, 0.8, 0.9]
STREAMS = RandomStreams(seed=0, batch_size=4)


def slices(heights: list[float], neighbours: int) -> HealthySlices:
    return HealthySlices(pd.DataFrame({"height": heights}), neighbours)


def test_the_nearest_in_height_come_first() -> None:
    assert slices(HEIGHTS, 3).near(0.85).tolist() == [4, 5, 3]
    assert len(slices(HEIGHTS, 20).near(0.85)) == len(HEIGHTS)


def test_of_equally_near_ones_none_is_left_out() -> None:
    assert slices([0.5] * 6, 2).near(0.5).tolist() == list(range(6))


def test_each_height_gets_one_of_its_neighbours() -> None:
    wanted = [0.0, 0.85, 0.5, 0.1]
    for step in range(20):
        places = slices(HEIGHTS, 2).at_heights(wanted, STREAMS, step, slice(None))
        for height, place in zip(wanted, places, strict=True):
            assert place in slices(HEIGHTS, 2).near(height)
        part = slices(HEIGHTS, 2).at_heights(wanted[2:], STREAMS, step, slice(2, 4))
        assert np.array_equal(part, places[2:])
