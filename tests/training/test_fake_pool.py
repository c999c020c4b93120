"""The pool of past fakes."""

from __future__ import annotations

import numpy as np
import torch

from pseudohealthy.training.fake_pool import FakePool


def fakes(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


def test_a_pool_that_fills_shows_what_it_is_given() -> None:
    pool = FakePool(3)
    rng = np.random.default_rng(0)
    assert pool.exchange(fakes(1, 2, 3), rng).flatten().tolist() == [1, 2, 3]


def test_a_full_pool_exchanges_half_of_the_fakes_and_loses_none() -> None:
    pool = FakePool(50)
    rng = np.random.default_rng(0)
    given = list(range(1050))
    shown = [value for number in given for value in pool.exchange(fakes(number), rng).flatten().tolist()]
    kept = [fake.item() for fake in pool.state()]
    assert sorted(shown[50:] + kept) == given
    old = sum(value != number for number, value in enumerate(shown))
    assert 400 < old < 600


def test_a_pool_of_none_shows_only_the_newest() -> None:
    pool = FakePool(0)
    rng = np.random.default_rng(0)
    assert pool.exchange(fakes(4, 5), rng).flatten().tolist() == [4, 5]
    assert pool.state() == []
