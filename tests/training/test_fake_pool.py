"""The pool of earlier generated images."""

from __future__ import annotations

import numpy as np
import torch

from pseudohealthy.training.fake_pool import FakePool


def fakes(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


def test_a_pool_that_is_not_full_passes_its_input_on() -> None:
    pool = FakePool(3)
    rng = np.random.default_rng(0)
    assert pool.exchange(fakes(1, 2, 3), rng).flatten().tolist() == [1, 2, 3]


def test_a_full_pool_exchanges_half_of_the_fakes_and_loses_none() -> None:
    pool = FakePool(50)
    rng = np.random.default_rng(0)
    given = list(range(1050))
    returned = [value for number in given for value in pool.exchange(fakes(number), rng).flatten().tolist()]
    stored = [fake.item() for fake in pool.state()]
    assert sorted(returned[50:] + stored) == given
    old = sum(value != number for number, value in enumerate(returned))
    assert 400 < old < 600


def test_a_pool_of_size_0_passes_its_input_on() -> None:
    pool = FakePool(0)
    rng = np.random.default_rng(0)
    assert pool.exchange(fakes(4, 5), rng).flatten().tolist() == [4, 5]
    assert pool.state() == []


def test_images_are_stored_while_there_is_room_and_then_in_the_place_of_others() -> None:
    pool, rng = FakePool(3), np.random.default_rng(0)
    pool.store(fakes(1, 2), rng)
    pool.store(fakes(3, 4), rng)
    stored = [fake.item() for fake in pool.state()]
    assert len(stored) == 3
    assert 4 in stored
    assert set(stored) < {1, 2, 3, 4}


def test_any_stored_image_is_drawn_and_they_stay() -> None:
    pool, rng = FakePool(9), np.random.default_rng(0)
    pool.store(fakes(1, 2, 3), rng)
    drawn = pool.draw(60, rng)
    assert drawn.shape == (60, 1, 1, 1)
    assert set(drawn.flatten().tolist()) == {1, 2, 3}
    assert len(pool.stored) == 3
