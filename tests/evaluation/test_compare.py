"""Two evaluations of the same volumes: which is better, and what may not be compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.compare import compare_scores, read_scores
from pseudohealthy.evaluation.score import write_scores
from pseudohealthy.files import write_tsv


def scores(identity: list[float], found: list[int], *, in_inputs: int = 90) -> pd.DataFrame:
    """Volumes of 2 slices and 100 lesion voxels."""
    table = pd.DataFrame({"slices": 2, "lesion_voxels": 100, "identity": identity, "found.first": found})
    table["identity_normalised"] = table["identity"]
    table["found_in_inputs.first"] = in_inputs
    table["healthiness"] = 1 - table["found.first"] / 100
    table.index = pd.Index([f"{number:02d}" for number in range(len(table))], name="volume")
    return table


def test_the_tests_are_wilcoxon_s_and_holm_s() -> None:
    """Eight differences of one sign: p = 2 / 2^8; of three such tests each is tripled."""
    steps = np.arange(8)
    ours = scores([*(0.8 + 0.01 * steps)], [*(30 + steps)])
    theirs = scores([*(0.7 + 0.02 * steps**2 / 49)], [*(10 - steps)])
    found = compare_scores(ours, theirs)
    assert found["volumes"] == 8
    better, worse = found["identity"], found["healthiness"]
    for test in (better, worse, found["balance"]):
        assert (test["p"], test["p_holm"]) == (pytest.approx(2 / 256), pytest.approx(6 / 256))
    assert (better["star"], worse["star"], found["balance"]["star"]) == (True, False, False)
    means = []
    for table in (ours, theirs):
        i, h = table["identity"], table["healthiness"]
        means.append((2 * i * h / (i + h)).mean())
    assert found["balance"]["difference"] == pytest.approx(means[0] - means[1])
    assert better["difference"] == pytest.approx(np.mean(0.1 + 0.01 * steps - 0.02 * steps**2 / 49))
    assert worse["difference"] == pytest.approx(-np.mean(20 + 2 * steps) / 100)


def test_the_volumes_of_both_count_and_are_on_one_scale() -> None:
    """Larger lesions elsewhere raise the healthiness of every volume: the same outputs would seem better."""
    ours = scores([0.9] * 6, [10, 20, 30, 40, 50, 60])
    theirs = scores([0.9] * 8, [10, 20, 30, 40, 50, 60, 0, 0])
    theirs.loc[["06", "07"], "lesion_voxels"] = 900
    theirs["healthiness"] = 1 - theirs["found.first"] / 300
    found = compare_scores(ours, theirs.iloc[::-1])
    assert found["volumes"] == 6
    for measure in ("healthiness", "balance"):
        assert found[measure]["difference"] == pytest.approx(0, abs=1e-12)
        assert found[measure]["p"] == 1


def test_what_cannot_be_compared_is_refused() -> None:
    ours = scores([0.9, 0.8, 0.7], [10, 20, 30])
    with pytest.raises(InputError, match="270 and 150 voxels in the same inputs; expected one judge"):
        compare_scores(ours, scores([0.9] * 3, [10] * 3, in_inputs=50))
    other = scores([0.9] * 3, [10] * 3)
    other.loc["01", "lesion_voxels"] = 99
    with pytest.raises(InputError, match="lesion_voxels of volume 01 are 100 and 99"):
        compare_scores(ours, other)
    with pytest.raises(InputError, match="1 volumes in both scores"):
        compare_scores(ours, other.iloc[:1])
    unjudged = scores([0.9] * 3, [10] * 3)[["slices", "lesion_voxels", "identity"]]
    assert compare_scores(ours, unjudged).keys() == {"volumes", "identity"}


def test_the_same_scores_differ_in_nothing() -> None:
    ours = scores([0.9, 0.8, 0.7], [10, 20, 30])
    found = compare_scores(ours, ours.iloc[::-1])
    assert found["volumes"] == 3
    for measure in ("identity", "healthiness", "balance"):
        expected = {"difference": 0, "p": 1, "p_holm": 1, "star": False, "n": 3}
        assert found[measure] == expected


def test_another_panel_is_another_balance() -> None:
    """The first judge is the same, so that healthiness can be compared; the mean over the panel cannot."""
    ours = scores([0.9, 0.8, 0.7], [10, 20, 30])
    found = compare_scores(ours, ours.assign(**{"found.second": 0}))
    assert found.keys() == {"volumes", "identity", "healthiness"}


def test_judges_on_two_processors_are_one_judge() -> None:
    """They may differ by 1 % and 20 voxels a volume, and no more."""
    ours = scores([0.9, 0.8], [10, 20], in_inputs=1000)
    assert "healthiness" in compare_scores(ours, scores([0.9, 0.8], [10, 20], in_inputs=1029))
    with pytest.raises(InputError, match="expected one judge"):
        compare_scores(ours, scores([0.9, 0.8], [10, 20], in_inputs=1032))


def test_scores_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    """Leading zeros of a volume's name stay, and a value that is not measurable is none."""
    ours = scores([0.9, float("nan"), 0.7], [10, 20, 30])
    write_scores(tmp_path, ours, {})
    pd.testing.assert_frame_equal(read_scores(tmp_path), ours)


def test_volumes_that_were_not_scored_are_left_out(tmp_path: Path) -> None:
    """An evaluation has rows of volumes with healthy slices alone, which other measures filled."""
    ours = scores([0.9, 0.8, 0.7], [10, 20, 30]).astype(float)
    ours.loc["healthy"] = float("nan")
    write_scores(tmp_path, ours, {})
    assert read_scores(tmp_path).index.tolist() == ["00", "01", "02"]


@pytest.mark.parametrize("content", [None, "", "a\tb\n1\t2\n", "volume\tidentity\n01\t0.9\n"])
def test_what_are_no_scores_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "volumes.tsv").write_text(content)
    with pytest.raises(InputError, match=r"volumes\.tsv: cannot be read as scores .* that evaluate wrote"):
        read_scores(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda table: table.drop(columns="identity"), "no column identity"),
        (lambda table: table.drop(columns="found.first"), "no column found.judge"),
        (lambda table: table.assign(lesion_voxels="many"), "the column lesion_voxels holds no numbers"),
        (lambda table: pd.concat([table, table]), "a volume is there twice"),
        (lambda table: table.rename(index={"01": None}), "a volume is there twice, or has no name"),
    ],
)
def test_a_table_that_is_none_of_scores_is_refused(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], complaint: str
) -> None:
    write_tsv(tmp_path / "volumes.tsv", change(scores([0.9, 0.8, 0.7], [10, 20, 30])))
    with pytest.raises(InputError, match=f"cannot be read as scores \\(.*{complaint}"):
        read_scores(tmp_path)
