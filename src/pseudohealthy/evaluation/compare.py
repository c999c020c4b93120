"""Is one set of outputs better than another? Paired tests over the volumes of two evaluations (section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pseudohealthy.catalogue.measures import TESTED
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.healthiness import healthiness_of_sums
from pseudohealthy.evaluation.score import FOUND, IN_INPUTS, balance_of
from pseudohealthy.evaluation.statistics import against_baselines
from pseudohealthy.files import read_tsv
from pseudohealthy.renamed import expect_new_names

SHARE, VOXELS = 0.01, 20  # by which one judge may differ on two processors, which round differently


def read_scores(folder: Path) -> pd.DataFrame:
    """The table by volume that an evaluation wrote.

    Raises:
        InputError: there is none, it is of version 0.1, or it lacks a column, holds one that is no numbers,
            or a volume twice.
    """
    path = folder / "volumes.tsv"
    try:
        table = read_tsv(path, "volume")
        expect_new_names(path, table.columns)
        _expect_columns(table)
        return table.dropna(subset=["slices"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: cannot be read as scores ({error}); expected a folder that evaluate wrote"
        ) from error


def _expect_columns(table: pd.DataFrame) -> None:
    """Raise a `ValueError` where a table is none of scores."""
    judged = {"identity_normalised", _first(table, FOUND), _first(table, IN_INPUTS)}
    needed = {"slices", "lesion_voxels", "identity", *(judged if "healthiness" in table else ())}
    if missing := sorted(needed - set(table.columns)):
        raise ValueError(f"no column {missing[0]}")
    if no_numbers := [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]:
        raise ValueError(f"the column {no_numbers[0]} holds no numbers")
    if not table.index.is_unique or table.index.hasnans:
        raise ValueError("a volume is there twice, or has no name")


def compare_scores(scores: pd.DataFrame, others: pd.DataFrame) -> dict[str, Any]:
    """Is one set of outputs better than another? Over the volumes of both (section 6).

    Args:
        scores: of `score`, a row a volume.
        others: of other outputs for the same slices, judged by the same judge.

    Returns:
        `volumes`, the number of common ones; for identity, and for healthiness and balance where both were
        judged, `difference` (mean of scores minus others), `p` (two-sided Wilcoxon signed-rank), `p_holm` (of
        these tests) and `star`: `p_holm` is under 5 % and the difference above 0. Balance is left out where
        the two were judged by panels of other names.

    Raises:
        InputError: fewer than two common volumes, other slices, or another judge.
    """
    ours, theirs = _common(scores, others)
    pairs = {"identity": (ours["identity"], theirs["identity"])}
    if all("healthiness" in table for table in (ours, theirs)):
        _expect_same_judge(ours, theirs)
        pairs["healthiness"] = (_healthiness(ours), _healthiness(theirs))
        if _panel(ours) == _panel(theirs):
            pairs["balance"] = (balance_of(ours), balance_of(theirs))
    values = {
        (whose, name): pair[place]
        for name, pair in pairs.items()
        for place, whose in enumerate(("this", "other"))
    }
    tests = against_baselines(values, ("this",), ("other",), TESTED).get("this", {})
    return {"volumes": len(ours)} | {
        name: {"difference": float((pairs[name][0] - pairs[name][1]).mean()), **_without_name(test)}
        for name, test in tests.items()
    }


def _common(scores: pd.DataFrame, others: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the volumes that are in both, which must have been scored on the same slices."""
    common = [volume for volume in scores.index if volume in others.index]
    if len(common) < 2:
        raise InputError(
            f"{len(common)} volumes in both scores; expected two or more, so score the same split"
        )
    for count in ("slices", "lesion_voxels"):
        ours, theirs = scores.loc[common, count], others.loc[common, count]
        if differ := [name for name in common if ours[name] != theirs[name]]:
            raise InputError(
                f"{count} of volume {differ[0]} are {ours[differ[0]]:g} and {theirs[differ[0]]:g}; expected "
                "scores of the same prepared cohort"
            )
    return scores.loc[common], others.loc[common]


def _without_name(test: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in test.items() if key != "baseline"}


def _expect_same_judge(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """One judge finds the same in the same inputs."""
    found = [table[_first(table, IN_INPUTS)].to_numpy(dtype=float) for table in (ours, theirs)]
    if not np.allclose(found[0], found[1], rtol=SHARE, atol=VOXELS):
        raise InputError(
            f"the judges find {found[0].sum():g} and {found[1].sum():g} voxels in the same inputs; expected "
            "one judge, so score both with the same --judge"
        )


def _healthiness(table: pd.DataFrame) -> pd.Series[float]:
    """Over these volumes: what is over all scored ones has another scale."""
    return healthiness_of_sums(table[_first(table, FOUND)], table["lesion_voxels"], table["slices"])


def _panel(table: pd.DataFrame) -> set[str]:
    return {str(column) for column in table.columns if str(column).startswith(FOUND)}


def _first(table: pd.DataFrame, prefix: str) -> str:
    """The column of the paper's judge."""
    return next((str(name) for name in table.columns if str(name).startswith(prefix)), f"{prefix}judge")
