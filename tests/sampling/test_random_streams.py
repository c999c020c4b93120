"""Draws that the seed, the stream and the step alone decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pseudohealthy.sampling.random_streams import (
    DISCRIMINATORS,
    HEALTHY,
    PATHOLOGICAL,
    RandomStreams,
)

STREAMS = RandomStreams(seed=5, batch_size=4)


def test_seed_stream_step_and_reader_decide() -> None:
    def first(streams: RandomStreams, *numbers: int) -> float:
        return float(streams.rng(*numbers).random())

    assert first(STREAMS, HEALTHY, 3) == first(RandomStreams(5, 8), HEALTHY, 3)
    others = [
        first(STREAMS, HEALTHY, 4),
        first(STREAMS, PATHOLOGICAL, 3),
        first(replace(STREAMS, seed=6), HEALTHY, 3),
        first(replace(STREAMS, reader=(DISCRIMINATORS,)), HEALTHY, 3),
    ]
    assert first(STREAMS, HEALTHY, 3) not in others
    assert len(set(others)) == 4


def test_every_number_comes_once_before_any_comes_again() -> None:
    drawn = np.concatenate([STREAMS.shuffled(6, step, HEALTHY) for step in range(6)])  # four epochs of six
    epochs = drawn.reshape(4, 6)
    assert (np.sort(epochs, axis=1) == np.arange(6)).all()
    assert len({tuple(epoch) for epoch in epochs}) > 1
    other = RandomStreams(seed=5, batch_size=3)  # the same order, however large the batches
    assert np.array_equal(np.concatenate([other.shuffled(6, step, HEALTHY) for step in range(8)]), drawn)
