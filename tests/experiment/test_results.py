"""Results files of an experiment whose finished steps were written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fixtures.drawn_cohort import drawn
from fixtures.experiments import experiment
from pseudohealthy.assessment.checkpoint_selection import RULE
from pseudohealthy.catalogue.rows import Row
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.experiment.config import Experiment
from pseudohealthy.experiment.results import _is_tested, by_volume, curves, table1
from pseudohealthy.experiment.steps import DONE, SELECTION, Step, list_steps
from pseudohealthy.files import make_folder, write_json, write_tsv

METHODS = [
    {"method": "conditional_gan"},
    {"method": "cyclegan"},
    {"method": "unpaired"},
    {"method": "paired"},
    {"method": "paired", "preset": "midl2019"},
    {"method": "inpainter", "networks": {"segmentor_width": 12}},
]
JUDGES = {name: {"training": {"seed": seed}} for seed, name in enumerate(("first", "b", "c", "spare"))}
VOLUMES = [f"{number:02d}" for number in range(8)]
# Mean of identity by method. Paired is the best, unpaired worse than CycleGAN.
IDENTITY = {"conditional_gan": 0.5, "cyclegan": 0.7, "unpaired": 0.6, "paired": 0.8}
SIGNED_RANK = 2 / 2**8  # p of eight differences of one sign
MEASURES = ("identity", "healthiness", "balance")
COMMIT = "0123abc"


class Finished:
    """An experiment all of whose steps are done, in files that a test may change."""

    def __init__(self, out: Path, seeds: tuple[int, ...] = (0,)) -> None:
        given = {"name": "x", "methods": METHODS, "seeds": seeds, "judges": JUDGES, "held_out": "spare"}
        self.experiment, self.out = Experiment.model_validate(given), out
        self.steps = list_steps(self.experiment, "drawn")
        for number, step in enumerate(self.steps):
            folder = step.folder(out)
            make_folder(folder)
            self._write(step, folder)
            done = {"key": step.key, "seconds": number, "device": f"device {step.name}", "commit": COMMIT}
            write_json(folder / DONE, done)

    def _write(self, step: Step, folder: Path) -> None:
        if step.kind == "protocol":
            facts = {"judges": judges(), "valid": True, "invalid_reason": None, "threshold": 0.5}
            write_json(folder / "judges.json", facts)
        elif step.kind == "train":
            make_folder(folder / "run")
            write_json(folder / "run/clock.json", {"images": 400, "seconds": 5400.0})
        elif step.kind == "select":
            points = [{"images": n, "identity": n / 1000, "healthiness": 0.5, "choice": 0.1} for n in (4, 8)]
            curve = [] if "inpainter" in step.name else points
            write_json(folder / SELECTION, {"weights": "w", "images": 8, "curve": curve})
        elif step.row is not None:
            write_tsv(folder / "volumes.tsv", values(IDENTITY.get(step.row.method, 0.4)))
            write_json(folder / "numbers.json", {"healthiness.insertion_recall": 0.9})

    def measured(self, name: str) -> Path:
        """The folder of a row."""
        (step,) = (step for step in self.steps if step.kind == "measure" and step.name == name)
        return step.folder(self.out)

    def edit(self, path: Path, **changes: Any) -> None:
        """Change a JSON file."""
        write_json(path, {**json.loads(path.read_text()), **changes})

    def recall(self, name: str, value: float | None) -> None:
        """Let a row's insertion recall be another."""
        self.edit(self.measured(name) / "numbers.json", **{"healthiness.insertion_recall": value})

    def judged(self, **changes: Any) -> None:
        """Change `judges.json`."""
        (step,) = (step for step in self.steps if step.kind == "protocol")
        self.edit(step.folder(self.out) / "judges.json", **changes)

    def table(self) -> dict[str, Any]:
        """Its `table1.json`, which must be strict."""
        results = table1(self.experiment, self.out, self.steps, drawn())
        json.dumps(results, allow_nan=False)
        return results


def test_real_healthy_slices_stand_beside_what_is_processed(finished: Finished) -> None:
    """As the judges' own figures have it: the panel's mean and worst, and the held-out judge apart."""
    values = finished.table()["healthy_slices"]
    assert values == pytest.approx({"pooled": 0.6, "panel_mean": 0.7, "panel_worst": 0.6, "held_out": 0.9})


def judges(recall: float | None = 0.9) -> dict[str, dict[str, Any]]:
    """Three judges' facts, the last of them held out; the first marks most where no lesion is."""
    return {
        name: {
            "insertion_recall": recall,
            "dice_pooled": 0.8,
            "h_real_healthy": h,
            "held_out": name == "spare",
        }
        for name, h in (("first", 0.6), ("other", 0.8), ("spare", 0.9))
    }


def values(identity: float) -> pd.DataFrame:
    """A row's table: healthiness and balance, too, rise with identity; a lesion of 100 voxels a volume."""
    steps = np.arange(8)
    table = pd.DataFrame(
        {
            "slices": 1.0,
            "lesion_voxels": 100.0,
            "identity": identity + 0.001 * steps,
            "found.first": 100 * (1 - identity) + steps,
            "found_in_inputs.first": 100.0,
        },
        index=pd.Index(VOLUMES, name="volume"),
    )
    table["healthiness"] = 1 - table["found.first"] / 100
    table["balance"] = table["identity"] - 0.1
    table["texture"] = table["identity"] - 0.2
    table["insertion_recall"] = 0.5
    return table


@pytest.fixture
def finished(tmp_path: Path) -> Finished:
    return Finished(tmp_path)


def row(table: dict[str, Any], method: str, output: str = "raw", **given: Any) -> dict[str, Any]:
    """The only row of its kind."""
    wanted = {"method": method, "output": output, **given}
    (only,) = [each for each in table["rows"] if wanted.items() <= each.items()]
    return dict(only)


def the_paired(table: dict[str, Any]) -> dict[str, Any]:
    return row(table, "paired", preset="default", seed=0)


def test_the_better_baseline_is_what_the_proposed_are_tested_against(finished: Finished) -> None:
    """Six tests of the same p: Holm takes each six times. Unpaired is worse: no star."""
    table = finished.table()
    for method, star in (("unpaired", False), ("paired", True)):
        for measure in MEASURES:
            test = table["statistics"][method][measure]
            assert (test["baseline"], test["n"], test["star"]) == ("cyclegan", 8, star)
            assert test["p"] == pytest.approx(SIGNED_RANK)
            assert test["p_holm"] == pytest.approx(6 * SIGNED_RANK)
    assert table["not_tested"] == []
    assert table["baselines"] == ["conditional_gan", "cyclegan"]


def test_stars_are_for_raw_rows_of_the_preset_tested(finished: Finished) -> None:
    table = finished.table()
    none = dict.fromkeys(MEASURES)
    assert the_paired(table)["star"] == dict.fromkeys(MEASURES, True)
    assert the_paired(table)["p_holm"]["identity"] == pytest.approx(6 * SIGNED_RANK)
    unpaired = row(table, "unpaired")
    assert unpaired["star"] == dict.fromkeys(MEASURES, False)
    assert None not in unpaired["p_holm"].values()
    others = [
        each
        for each in table["rows"]
        if (each["method"], each["output"], each["preset"])
        not in {("paired", "raw", "default"), ("unpaired", "raw", "default")}
    ]
    assert len(others) == len(table["rows"]) - 2
    for each in others:
        assert each["p_holm"] == none, each["method"]
        assert not any(each["star"].values())


def test_another_preset_of_a_method_does_not_enter_its_test(finished: Finished) -> None:
    """The experiment lists paired with its own preset first: midl2019's values are of no account."""
    before = finished.table()["statistics"]
    folder = finished.measured("paired-midl2019-s0-raw")
    write_tsv(folder / "volumes.tsv", values(0.1))
    write_tsv(finished.measured("paired-default-s0-blend") / "volumes.tsv", values(0.1))
    assert finished.table()["statistics"] == before


def test_unreliable_healthiness_is_not_tested_and_is_named(finished: Finished) -> None:
    """Identity does not need the judge: four tests are left in the family."""
    finished.recall("paired-default-s0-raw", 0.84)
    table = finished.table()
    assert the_paired(table)["healthiness"]["unreliable"] is True
    assert row(table, "unpaired")["healthiness"]["unreliable"] is False
    (reason,) = table["not_tested"]
    assert reason.startswith("healthiness and balance of")
    assert reason.endswith("unreliable by the insertion check")
    assert "paired" in reason
    assert table["statistics"]["paired"].keys() == {"identity"}
    assert table["statistics"]["paired"]["identity"]["p_holm"] == pytest.approx(4 * SIGNED_RANK)
    assert the_paired(table)["star"] == {"identity": True, "healthiness": False, "balance": False}
    assert the_paired(table)["p_holm"]["healthiness"] is the_paired(table)["p_holm"]["balance"] is None


def test_an_unreliable_baseline_is_no_rival(finished: Finished) -> None:
    finished.recall("cyclegan-default-s0-raw", 0.2)
    table = finished.table()
    assert "CycleGAN" in table["not_tested"][0]
    assert table["statistics"]["paired"]["identity"]["baseline"] == "cyclegan"
    for measure in ("healthiness", "balance"):
        assert table["statistics"]["paired"][measure]["baseline"] == "conditional_gan"
    assert row(table, "unpaired")["star"] == {"identity": False, "healthiness": True, "balance": True}


def test_a_row_that_was_made_without_a_measure_is_named(finished: Finished) -> None:
    """Before there was a balance: the others are tested, and so is the balance of the rest."""
    folder = finished.measured("unpaired-default-s0-raw")
    write_tsv(folder / "volumes.tsv", values(0.6).drop(columns="balance"))
    table = finished.table()
    assert table["not_tested"] == ["balance of proposed (unpaired): not measured"]
    assert table["statistics"]["unpaired"].keys() == {"identity", "healthiness"}
    assert table["statistics"]["paired"]["balance"]["p_holm"] == pytest.approx(5 * SIGNED_RANK)
    assert row(table, "unpaired")["star"]["balance"] is False


@pytest.mark.parametrize(
    ("recall", "reference", "unreliable"),
    [(0.85, 0.9, False), (0.84, 0.9, True), (1.0, 0.9, False), (None, 0.9, True), (0.9, None, True)],
)
def test_healthiness_is_unreliable_by_the_judge_s_recall(
    finished: Finished, recall: float | None, reference: float | None, unreliable: bool
) -> None:
    finished.recall("copy-raw", recall)
    finished.judged(judges=judges(reference))
    healthiness = row(finished.table(), "copy")["healthiness"]
    assert healthiness["unreliable"] is unreliable
    assert healthiness["insertion_recall"] == recall


def test_a_judge_that_may_not_be_believed_tests_identity_alone(finished: Finished) -> None:
    finished.recall("paired-default-s0-raw", 0.1)
    finished.judged(valid=False, invalid_reason="blind")
    table = finished.table()
    assert (table["valid"], table["invalid_reason"]) == (False, "blind")
    assert table["not_tested"] == ["healthiness and balance of every method: the judge may not be believed"]
    assert {name: set(tests) for name, tests in table["statistics"].items()} == {
        "unpaired": {"identity"},
        "paired": {"identity"},
    }
    assert table["statistics"]["paired"]["identity"]["p_holm"] == pytest.approx(2 * SIGNED_RANK)
    assert the_paired(table)["healthiness"]["mean"] > 0, "its figure is there all the same"


def test_a_volume_s_values_are_averaged_over_seeds_before_testing(tmp_path: Path) -> None:
    """Of paired's seeds one is better than CycleGAN by more than the other is worse, in all volumes but one.

    One volume of eight goes the other way by the least: p = 4 / 2^8.
    """
    finished = Finished(tmp_path, seeds=(0, 1))
    gains = np.array([-0.001, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08])
    for seed, share in ((0, 2.5), (1, -0.5)):
        table = values(IDENTITY["cyclegan"])
        table["identity"] += share * gains
        write_tsv(finished.measured(f"paired-default-s{seed}-raw") / "volumes.tsv", table)
    results = finished.table()
    test = results["statistics"]["paired"]["identity"]
    assert (test["n"], test["p"]) == (8, pytest.approx(4 / 2**8))
    means = [row(results, "paired", preset="default", seed=seed)["identity"]["mean"] for seed in (0, 1)]
    assert means[0] > IDENTITY["cyclegan"] + 0.0035 > means[1]
    for seed in (0, 1):
        assert row(results, "paired", preset="default", seed=seed)["star"]["identity"] is True


def test_one_unreliable_seed_makes_the_method_s_healthiness_unreliable(tmp_path: Path) -> None:
    finished = Finished(tmp_path, seeds=(0, 1))
    finished.recall("paired-default-s1-raw", 0.1)
    table = finished.table()
    assert len(table["not_tested"]) == 1
    assert table["statistics"]["paired"].keys() == {"identity"}
    assert row(table, "paired", preset="default", seed=0)["healthiness"]["unreliable"] is False


def test_the_commit_is_that_of_all_steps_or_none(finished: Finished) -> None:
    table = finished.table()
    assert (table["commit"], table["commits"]) == (COMMIT, [COMMIT])
    finished.edit(finished.measured("copy-raw") / DONE, commit="later")
    table = finished.table()
    assert (table["commit"], table["commits"]) == (None, [COMMIT, "later"])
    (step,) = [step for step in table["steps"] if step["name"] == "copy-raw"]
    assert step["commit"] == "later"


def test_a_row_says_what_it_was_trained_with(finished: Finished) -> None:
    """The inpainter is a U-Net of S's width."""
    table = finished.table()
    paired, inpainter = the_paired(table), row(table, "inpainter", mask="true")
    assert (paired["images"], paired["images_in_all"], paired["hours"]) == (8, 400, 1.5)
    assert paired["device"] == "device paired-default-s0"
    assert paired["width"] == finished.experiment.runs[3].networks.width
    assert inpainter["width"] == row(table, "inpainter", mask="segmentor")["width"] == 12
    for name in ("images", "images_in_all", "width", "device", "hours"):
        assert row(table, "fill", mask="segmentor")[name] is None, "a control is not trained"


def test_a_row_s_figures_are_those_of_its_files(finished: Finished) -> None:
    """Mean detected: 100 (1 - 0.8) + 3.5 of 100 voxels; what does not apply is null."""
    by_size = {"<50": {"lesions": 0, "detected": 0, "rate": None}}
    finished.edit(
        finished.measured("paired-default-s0-raw") / "numbers.json",
        **{"detection.by_size": by_size, "texture": {"median": 0.21, "slices": 9, "low": None}},
    )
    paired = the_paired(finished.table())
    assert paired["healthiness"]["pooled"] == paired["healthiness"]["rel"] == pytest.approx(0.765)
    assert paired["identity"]["mean"] == pytest.approx(0.8035)
    assert paired["healthiness"]["insertion_recall"] == 0.9, "pooled, not the mean over volumes"
    assert "insertion_recall" not in paired
    assert paired["detection"] == {"by_size": by_size}
    assert paired["balance"]["mean"] == pytest.approx(0.7035)
    assert paired["texture"] == {"median": 0.21, "slices": 9, "low": None}, "not the mean over volumes"
    for name in ("truth_phantom", "cycle", "mask_control", "segmentor_dice"):
        assert paired[name] is None


def test_the_table_says_what_made_it(finished: Finished) -> None:
    table = finished.table()
    assert (table["experiment"], table["data"], table["cohort"]) == ("x", "drawn", "drawn")
    assert table["config"] == finished.experiment.model_dump(mode="json")
    assert table["split"] == {"train": 0, "val": 2, "test": 4}
    assert table["slices"]["test"] == {"pathological": 7, "healthy": 8}
    assert (table["choice_rule"], table["research_use"]) == (RULE, RESEARCH_USE)
    assert (table["held_out"], table["judge"]["dice_pooled"]) == ("spare", 0.8)
    assert [step["key"] for step in table["steps"]] == [step.key for step in finished.steps]
    assert len(table["rows"]) == 2 * len(METHODS) + 8


def test_the_tests_are_of_a_method_as_the_experiment_lists_it_first() -> None:
    fractions = [
        {"method": "semi_supervised", "training": {"labelled_fraction": each}} for each in (0.1, 0.3)
    ]
    listed = experiment(methods=[*fractions, {"method": "paired"}])
    tested = [
        _is_tested(Row(method, "default", labelled_fraction=fraction), listed)
        for method, fraction in (
            ("semi_supervised", 0.1),
            ("semi_supervised", 0.3),
            ("paired", None),
            ("unpaired", None),
        )
    ]
    assert tested == [True, False, True, False]
    assert not _is_tested(Row("paired", "default", "blend"), listed)


def test_every_value_of_every_row_and_volume_is_in_one_table(finished: Finished) -> None:
    table = values(0.4)
    table.loc["03", "identity"] = float("nan")
    write_tsv(finished.measured("copy-raw") / "volumes.tsv", table)
    long = by_volume(finished.out, finished.steps)
    expected = ["method", "preset", "output", "mask", "seed", "labelled_fraction"]
    assert list(long.columns) == [*expected, "volume", "measure", "value"]
    own = long[(long["method"] == "copy") & (long["measure"] == "identity")]
    assert own["volume"].tolist() == [volume for volume in VOLUMES if volume != "03"]
    assert own["value"].tolist() == pytest.approx(table["identity"].dropna().tolist())
    oracle = long[(long["method"] == "fill") & (long["mask"] == "true")]
    assert len(oracle) == len(VOLUMES) * len(table.columns)
    assert long["value"].notna().all()


def test_curves_say_which_checkpoint_was_selected(finished: Finished) -> None:
    points = curves(finished.out, finished.steps)
    assert "inpainter" not in set(points["method"])
    for keys, curve in points.groupby(["method", "preset"]):
        assert curve["images"].tolist() == [4, 8], keys
        assert curve["chosen"].tolist() == [False, True]
        assert curve["seed"].tolist() == [0, 0]
    assert len(points) == 2 * (len(METHODS) - 1)


@pytest.mark.parametrize("make", [curves, by_volume])
def test_tables_have_their_columns_in_order(finished: Finished, make: Callable[..., pd.DataFrame]) -> None:
    columns = list(make(finished.out, finished.steps).columns)
    assert columns[:2] == ["method", "preset"]
    assert ("choice" in columns) is (make is curves)
