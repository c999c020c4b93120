"""Damaged and odd inputs: each gets one clear line and exit code 2, soon, in little memory, twice alike."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from torture.fuzzing.campaign import Figures, campaign, shares, summary
from torture.fuzzing.guided import GROUPS, available, guided

ROOT = Path(__file__).resolve().parents[2]
SEED, SHORT, LONG = 20261128, 300, 100_000
CHEAP = (  # readers that need no network and no prepared cohort
    *("nifti_image", "nifti_mask", "settings", "experiment", "overrides", "participants", "cohort_names"),
    *("bids_names", "json", "bids_group", "steps", "scores", "weights_config", "metrics"),
    "dicom_archive",
)


def everything_kept(figures: dict[str, Figures]) -> None:
    """Fail with what to do to see each defect again."""
    defects = [defect for each in figures.values() for defect in each.defects]
    lines = [
        "\n  ".join(filter(None, map(defect.get, ("complaint", "saved", "repeat")))) for defect in defects
    ]
    assert not defects, f"{len(defects)} defects:\n" + "\n".join(lines[:20])


def judge(names: dict[str, float], inputs: int, failures: Path) -> dict[str, Figures]:
    from torture.fuzzing.targets import BY_NAME

    parts = {name: range(count) for name, count in shares(inputs, names).items()}
    groups = {name: BY_NAME[name].group for name in parts}
    print(f"seed {SEED}, {inputs} inputs")
    return campaign(parts, groups, SEED, failures)


def test_damaged_inputs_are_refused_in_one_line(tmp_path: Path) -> None:
    from torture.fuzzing.targets import BY_NAME

    figures = judge({name: BY_NAME[name].share for name in CHEAP}, SHORT, tmp_path)
    everything_kept(figures)
    assert sum(each.inputs for each in figures.values()) == pytest.approx(SHORT, abs=len(CHEAP))
    accepted_whole = {name for name, each in figures.items() if not each.refused}
    assert accepted_whole <= {
        "cohort_names",
        "bids_names",
        "dicom_archive",
    }  # of odd names, or of a few inputs


def test_sound_files_are_shared_by_targets_that_are_built_alike_alone() -> None:
    from torture.fuzzing.targets import BY_NAME
    from torture.fuzzing.worker import sound_name

    builds: dict[str, set[object]] = {}
    for target in BY_NAME.values():
        if target.changes and target.build.__name__ != "<lambda>":
            builds.setdefault(sound_name(target), set()).add(target.build)
    assert len(builds) > 5
    assert {len(each) for each in builds.values()} == {1}


def test_an_input_is_the_same_each_time() -> None:
    from torture.fuzzing import mutations

    content = json.dumps({"a": [1, {"b": 2.5}], "c": "d"}).encode()
    for change in (mutations.json_changed, mutations.yaml_changed, mutations.bytes_changed):
        made = [change(random.Random(f"1/x/{number}"), content) for number in range(50)]
        assert made == [change(random.Random(f"1/x/{number}"), content) for number in range(50)]
        assert len(set(made)) > 10


@pytest.mark.skipif(not available(), reason="atheris is not installed (the extra `torture`)")
def test_guided_inputs_are_refused_in_one_line(tmp_path: Path) -> None:
    figures = guided("json", 300, SEED, tmp_path / "json")
    everything_kept({"json": figures})
    assert figures.inputs == figures.accepted + figures.refused
    assert figures.refused > 100


@pytest.mark.torture
def test_a_hundred_thousand_inputs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its figures go to `results/reliability/fuzzing.json`."""
    from torture.fuzzing.targets import BY_NAME

    inputs = int(os.environ.get("PSEUDOHEALTHY_TORTURE_INPUTS", LONG))
    failures = tmp_path_factory.mktemp("failures")
    figures = judge({name: target.share for name, target in BY_NAME.items()}, inputs - inputs // 5, failures)
    write(figures)
    if available():
        for name in GROUPS:
            figures[f"guided_{name}"] = guided(name, inputs // 5 // len(GROUPS), SEED, failures / name)
        write(figures)
    else:
        print("no guided inputs: atheris is not installed (the extra `torture`)")
    everything_kept(figures)


def write(figures: dict[str, Figures]) -> None:
    path = ROOT / "results/reliability/fuzzing.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary(figures, SEED, ["make", "torture"]), indent=1) + "\n")
