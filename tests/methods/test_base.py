"""What methods share."""

from __future__ import annotations

import torch

from pseudohealthy.methods.base import LossTerms


def test_the_total_is_the_weighted_sum() -> None:
    terms = LossTerms({"a": torch.tensor(2.0), "b": torch.tensor(3.0)}, {"a": 10.0, "b": 0.5})
    assert terms.total.item() == 21.5
