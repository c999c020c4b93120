"""An experiment's steps: what they are called, what they come after, and when their keys change."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import pytest

from fixtures.experiments import JUDGES, experiment
from pseudohealthy.catalogue.rows import CONTROLS, Row
from pseudohealthy.errors import InputError
from pseudohealthy.experiment.parallel_steps import parallel_groups
from pseudohealthy.experiment.results import curves
from pseudohealthy.experiment.steps import DONE, SELECTION, Step, list_steps
from pseudohealthy.files import write_json


def keys(steps: list[Step]) -> dict[str, str]:
    return {f"{step.kind} {step.name}": step.key for step in steps}


def test_steps_come_after_what_they_use() -> None:
    steps = list_steps(experiment(seeds=(0, 1)), "data")
    place = {id(step): number for number, step in enumerate(steps)}
    assert all(place[id(use)] < place[id(step)] for step in steps for use in step.after)
    assert [step.name for step in steps if step.kind == "train"] == [
        f"{method}-default-s{seed}" for method in ("paired", "cyclegan", "inpainter") for seed in (0, 1)
    ]


def test_rows_are_raw_and_blend_with_controls_and_oracles_apart() -> None:
    rows = [step.row for step in list_steps(experiment(), "data") if step.row is not None]
    assert rows[:6] == [
        Row("paired", "default", "raw", seed=0),
        Row("paired", "default", "blend", seed=0),
        Row("cyclegan", "default", "raw", seed=0),
        Row("cyclegan", "default", "blend", seed=0),
        Row("inpainter", "default", mask="segmentor", seed=0),
        Row("inpainter", "default", mask="true", seed=0),
    ]
    controls = {(row.method, row.mask) for row in rows[6:]}
    assert controls == {
        ("copy", None),
        ("blur", None),
        ("constant", None),
        ("threshold_fill", None),
        *((method, mask) for method in ("mirror", "fill") for mask in ("segmentor", "true")),
    }


def test_a_method_may_be_given_several_fractions_of_the_masks() -> None:
    fractions = (1.0, 1 / 3, 0.1)
    methods = [{"method": "semi_supervised", "training": {"labelled_fraction": each}} for each in fractions]
    steps = list_steps(experiment(methods=methods), "data")
    names = [f"semi_supervised-default{masks}-s0" for masks in ("", "-m0.333333", "-m0.1")]
    for kind in ("train", "select"):
        assert [step.name for step in steps if step.kind == kind] == names
    rows = [step.row for step in steps if step.row is not None and step.row.preset]
    assert [row.name for row in rows] == [f"{name}-{output}" for name in names for output in ("raw", "blend")]
    assert [row.labelled_fraction for row in rows] == [None, None, 1 / 3, 1 / 3, 0.1, 0.1]
    measures = parallel_groups([step for step in steps if step.kind == "measure"])
    assert sorted(len(group) for group in measures) == [2, 2, 2, len(CONTROLS)]


def test_a_setting_changes_the_steps_that_depend_on_it_and_no_others() -> None:
    before = keys(list_steps(experiment(), "data"))
    methods = [
        {"method": "paired"},
        {"method": "cyclegan", "training": {"fake_pool_size": 7}},
        {"method": "inpainter"},
    ]
    after = keys(list_steps(experiment(methods=methods), "data"))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        "train cyclegan-default-s0",
        "select cyclegan-default-s0",
        "measure cyclegan-default-s0-raw",
        "measure cyclegan-default-s0-blend",
    }
    judge = keys(list_steps(experiment(judges={**JUDGES, "second": {"training": {"seed": 9}}}), "data"))
    assert {name for name in before if before[name] == judge[name]} == {
        name for name in before if name.startswith("train ") or name in {f"judge {j}" for j in JUDGES}
    } - {"judge second"}
    held_out = keys(list_steps(experiment(held_out="third"), "data"))
    assert {name.split()[0] for name in before if before[name] != held_out[name]} == {
        *("select", "protocol", "measure")
    }
    spare = keys(list_steps(experiment(judges={**JUDGES, "spare": {"training": {"seed": 9}}}), "data"))
    assert all(before[name] == spare[name] for name in before if name.startswith("select")), (
        "not of the panel"
    )
    longer = keys(list_steps(experiment(resegmentation_steps=7), "data"))
    assert {name.split()[0] for name in before if before[name] != longer[name]} == {"protocol", "measure"}
    panels = keys(
        list_steps(experiment(settings={"training": {"preview_every": 7, "checkpoint_every": 7}}), "data")
    )
    assert panels == before, "how often pictures and states are saved decides nothing"
    other = keys(list_steps(experiment(), "other data"))
    assert all(before[name] != other[name] for name in before)


def test_folders_of_two_settings_are_two(tmp_path: Path) -> None:
    first, second = (list_steps(experiment(seeds=(seed,)), "data") for seed in (0, 1))
    folders = [{step.folder(tmp_path) for step in steps if step.kind == "train"} for steps in (first, second)]
    assert not folders[0] & folders[1]


def test_an_option_that_is_not_given_is_not_in_a_key() -> None:
    """So a new option, None unless given, makes nothing be done again; where it is given, it counts."""
    training = next(
        step for step in list_steps(experiment(preset="midl2019"), "data") if step.kind == "train"
    )
    networks = training.settings["networks"]
    assert networks["reconstructor_output_mode"] is None
    without = {key: value for key, value in networks.items() if value is not None}
    assert replace(training, settings={**training.settings, "networks": without}).key == training.key
    given = {**networks, "reconstructor_output_mode": "residual"}
    assert replace(training, settings={**training.settings, "networks": given}).key != training.key


def test_a_release_of_the_program_does_nothing_again() -> None:
    """A program of another version computes the same keys, and loads no torch for that."""
    program = """
import sys
import pseudohealthy
pseudohealthy.__version__ = "99.0"
from pseudohealthy.experiment.config import Experiment
from pseudohealthy.experiment.steps import list_steps
steps = list_steps(Experiment.model_validate_json(sys.argv[1]), "data")
print(*(step.key for step in steps), sep="\\n")
assert "torch" not in sys.modules
"""
    command = [sys.executable, "-c", program, experiment().model_dump_json()]
    later = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert later == [step.key for step in list_steps(experiment(), "data")]


def test_common_settings_change_only_the_steps_of_methods_that_read_them() -> None:
    """Judges, baselines and the inpainter have no warm-up, and judges are no generators."""
    before = keys(list_steps(experiment(), "data"))
    for common, trained in (
        ({"training": {"warm_up_images": 400}}, {"train paired-default-s0"}),
        ({"networks": {"width": 8}}, {"train paired-default-s0", "train cyclegan-default-s0"}),
    ):
        after = keys(list_steps(experiment(settings=common), "data"))
        changed = {name for name in before if before[name] != after[name]}
        assert {name for name in changed if name.startswith(("train ", "judge "))} == trained
    longer = keys(list_steps(experiment(settings={"training": {"images": 400}}), "data"))
    assert all(before[name] != longer[name] for name in before), "all read the number of images"


def test_the_controls_mask_is_the_paired_method_s_or_what_comes_nearest() -> None:
    """Whatever the order in the file; the first preset and seed of that method."""
    for methods, expected in (
        (("cyclegan", "unpaired", "semi_supervised", "paired"), "paired-default-s4"),
        (("unpaired", "semi_supervised"), "semi_supervised-default-s4"),
        (("cyclegan", "unpaired"), "unpaired-default-s4"),
    ):
        listed = [{"method": method} for method in methods]
        steps = list_steps(experiment(methods=listed, seeds=(4, 0)), "data")
        fills = [step for step in steps if step.row == Row("fill", mask="segmentor")]
        assert [[use.name for use in fill.selections] for fill in fills] == [[expected]]


def test_a_step_is_done_where_its_folder_has_its_key(tmp_path: Path) -> None:
    step = list_steps(experiment(), "data")[0]
    done = step.folder(tmp_path) / DONE
    assert not step.is_done(tmp_path)
    done.parent.mkdir(parents=True)
    for text, expected in (("{", False), (json.dumps({"key": "other"}), False)):
        done.write_text(text)
        assert step.is_done(tmp_path) is expected
    done.write_text(json.dumps({"key": step.key}))
    assert step.is_done(tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", r"cannot be read \(it is empty\)"),
        ("[" * 100_000, "nested more than 50 levels deep"),
        ("[]", "expected a mapping, found a list"),
        ("{}", "incomplete, weights is missing"),
        ('{"weights": null, "images": 1, "curve": []}', "weights is null, expected text"),
    ],
)
def test_a_damaged_file_of_a_step_says_what_to_remove(tmp_path: Path, content: str, complaint: str) -> None:
    step = next(step for step in list_steps(experiment(), "data") if step.kind == "select")
    folder = step.folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / SELECTION).write_text(content)
    with pytest.raises(InputError, match=rf"selection\.json: .*{complaint}.*; remove {folder} and run"):
        step.read_json(tmp_path, SELECTION)
    (folder / DONE).write_text(content)
    assert not step.is_done(tmp_path)


@pytest.mark.parametrize("error", [KeyError("images"), TypeError("not a mapping"), BadZipFile("no zip")])
def test_what_damaged_files_of_a_step_raise_says_what_to_remove(tmp_path: Path, error: Exception) -> None:
    step = list_steps(experiment(), "data")[0]
    remedy = f"remove {step.folder(tmp_path)} and run the experiment again"
    with (
        pytest.raises(InputError, match=rf"damaged \({type(error).__name__}: .*\); {remedy}"),
        step.reading(tmp_path),
    ):
        raise error


@pytest.mark.parametrize("point", [{}, None, [1], {"images": 400}])
def test_a_damaged_curve_of_a_finished_step_is_named(tmp_path: Path, point: object) -> None:
    steps = list_steps(experiment(), "data")
    select = next(step for step in steps if step.kind == "select")
    write_json(_made(select.folder(tmp_path)) / SELECTION, {"weights": "a", "images": 1, "curve": [point]})
    if point == {"images": 400}:
        assert curves(tmp_path, [select])["chosen"].tolist() == [False]
        return
    with pytest.raises(InputError, match=f"damaged .*; remove {select.folder(tmp_path)} and run"):
        curves(tmp_path, [select])


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
