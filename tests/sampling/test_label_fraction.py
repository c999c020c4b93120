"""Which volumes' masks are used."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pseudohealthy.sampling.label_fraction import with_labelled_fraction


def table(patients: int = 10) -> pd.DataFrame:
    """Each patient has two sessions of a pathological and a healthy slice; one more has no mask."""
    rows = [
        ("here", f"{patient:02d}", session, label)
        for patient in range(patients)
        for session in ("a", "b")
        for label in ("pathological", "healthy")
    ]
    rows.append(("here", "99", "a", "unlabelled"))
    return pd.DataFrame(rows, columns=["source", "subject", "session", "label"])


def labelled(fraction: float, seed: int = 0) -> set[tuple[str, str]]:
    out = with_labelled_fraction(table(), fraction, np.random.default_rng(seed))
    rows = out[out["label"] == "pathological"]
    return set(zip(rows["subject"], rows["session"], strict=True))


@pytest.mark.parametrize(("fraction", "count"), [(0, 0), (0.01, 1), (0.1, 2), (0.5, 10), (1, 20)])
def test_a_fraction_of_the_volumes_keeps_its_masks_one_at_least(fraction: float, count: int) -> None:
    assert len(labelled(fraction)) == count


def test_a_larger_fraction_holds_the_smaller_one_and_the_seed_decides() -> None:
    assert labelled(0.1) < labelled(0.3) < labelled(0.9)
    assert labelled(0.3) == labelled(0.3)
    assert labelled(0.3) != labelled(0.3, seed=1)


def test_nothing_else_changes() -> None:
    before, after = table(), with_labelled_fraction(table(), 0.3, np.random.default_rng(0))
    changed = before["label"] != after["label"]
    assert set(before.loc[changed, "label"]) == {"pathological"}
    assert set(after.loc[changed, "label"]) == {"unlabelled"}
    pd.testing.assert_frame_equal(before.drop(columns="label"), after.drop(columns="label"))
