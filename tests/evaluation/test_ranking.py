from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.ranking import auprc, auroc


@pytest.mark.parametrize("levels", [2, 7, 255, 10**6])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_with_and_without_ties_they_are_those_of_scikit_learn(levels: int, share: float) -> None:
    rng = np.random.default_rng(levels)
    truth = rng.random(3000) < share
    scores = (np.round((rng.random(3000) + 0.3 * truth) * levels) / levels).astype(np.float32)
    assert auroc(scores, truth) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert auprc(scores, truth) == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


def test_by_hand() -> None:
    scores, truth = np.array([[0.9, 0.8], [0.8, 0.1]], dtype=np.float32), np.array([[1, 0], [4, 0]])
    assert auroc(scores, truth) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert auprc(scores, truth) == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_equal_scores_tell_nothing_whatever_their_order() -> None:
    truth = np.arange(1000) < 100  # a ranking that took ties in the order given would be perfect
    same = np.full(1000, 0.5, dtype=np.float32)
    assert auroc(same, truth) == 0.5
    assert auprc(same, truth) == pytest.approx(0.1)


def test_counts_beyond_32_bits() -> None:
    truth = np.arange(400_000) % 2  # 4e10 pairs
    assert auroc(truth.astype(np.float32), truth) == 1.0
    assert auroc(-truth.astype(np.float32), truth) == 0.0
    assert auprc(truth.astype(np.float32), truth) == 1.0


@pytest.mark.parametrize("only", [0, 1])
def test_one_class_alone_cannot_be_ranked(only: int) -> None:
    scores, truth = np.linspace(0, 1, 5), np.full(5, only)
    assert np.isnan(auroc(scores, truth))
    assert np.isnan(auprc(scores, truth))


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(3,\), but the truth has \(4,\)"):
        auroc(np.zeros(3), np.zeros(4))
    with pytest.raises(InputError, match="not a number"):
        auprc(np.array([0.1, np.nan]), np.array([0, 1]))
