"""The weights that a table stands on: written beside it in half precision, taken up in place of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudohealthy.assessment.judge_selection import BEST, VALIDATION
from pseudohealthy.config import WITHOUT_EFFECT, Preprocessing, Settings
from pseudohealthy.data.layouts import listed
from pseudohealthy.data.out_of_distribution import FILE as TRAINING_DISTRIBUTION
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.experiment.config import as_read
from pseudohealthy.experiment.steps import DONE, PARTS, SELECTION, Kind, Step
from pseudohealthy.files import flatten, inside, make_folder, replace, whole_folder, write_json
from pseudohealthy.json_files import expect_parts, read_json
from pseudohealthy.provenance import provenance
from pseudohealthy.settings_files import validated
from pseudohealthy.training.checkpoint import save_in_half_precision
from pseudohealthy.training.run_folder import CLOCK, WEIGHTS
from pseudohealthy.training.weights import CONFIG, digest, read_config

FOLDER = "weights"  # of a results folder
TRAINED: tuple[Kind, ...] = ("judge", "train")
# Of training, what does not decide the weights, nor how many checkpoints were there to select them from
FREE = frozenset(f"training.{key}" for key in (*WITHOUT_EFFECT, "snapshot_every"))
GIVEN = "the weights that were given"  # what selected weights without a curve


def publish_weights(out: Path, steps: Sequence[Step], folder: Path) -> None:
    """Write the selected weights of every judge and method, in half precision.

    Args:
        out: the experiment's folder.
        steps: of the experiment, all done.
        folder: gets a folder of weights for each, `judge/NAME` or `train/NAME`, in which beside the weights
            stand `done.json`, `clock.json`, and the curve that they were selected by.
    """
    for step in steps:
        if step.kind not in TRAINED:
            continue
        run, selected = step.folder(out) / "run", _selection(step, steps)
        name = VALIDATION if step.kind == "judge" else SELECTION
        about = {DONE: step.read_json(out, DONE), CLOCK: step.read_json(out, f"run/{CLOCK}")}
        if selected is None:
            weights, about[name] = run / BEST, step.read_json(out, f"run/{VALIDATION}")
        else:
            about[name] = selected.read_json(out, SELECTION)
            weights = inside(run, about[name]["weights"])
        published = folder / step.kind / step.name
        save_in_half_precision(weights, published)
        if (weights / TRAINING_DISTRIBUTION).is_file():
            _copy(weights / TRAINING_DISTRIBUTION, published / TRAINING_DISTRIBUTION)
        for file, values in about.items():
            write_json(published / file, values)


def take_up_weights(out: Path, steps: Sequence[Step], prepared: Prepared, folder: Path) -> None:
    """Lay published weights into `out` as finished trainings and selections; those that are done stay.

    Raises:
        InputError: weights are missing, were trained with other settings or on other patients, or a training
            has begun in `out`.
    """
    to_do = [step for step in steps if step.kind in (*TRAINED, "select") and not step.is_done(out)]
    for step in to_do:  # all are looked at before any is laid
        if step.folder(out).exists():
            raise InputError(f"{step.folder(out)}: begun without --from-weights; choose another OUT")
        if step.kind in TRAINED:
            _expect_weights_of(step, prepared, folder / step.kind / step.name)
    for step in to_do:
        if step.kind == "select":
            _lay_selection(step, folder / "train" / step.name, out)
        else:
            _lay(step, folder / step.kind / step.name, out)


def _selection(training: Step, steps: Sequence[Step]) -> Step | None:
    """The selection among a method's checkpoints; None for a judge, whose run holds its own."""
    return next((step for step in steps if step.kind == "select" and step.training is training), None)


def _expect_weights_of(step: Step, prepared: Prepared, weights: Path) -> None:
    """Refuse a folder of weights that the step would not have made.

    The patients count, not the data set's key: where training was done elsewhere, that folder may have held
    no test patients.
    """
    config = read_config(weights)
    path = str(weights / CONFIG)
    wanted = {key: value for key, value in step.settings.items() if key in Settings.model_fields}
    differences = _differences(
        as_read(validated(Settings, config["settings"], path, written=weights)).model_dump(mode="json"),
        validated(Settings, wanted).model_dump(mode="json"),
    )
    differences += _differences(
        validated(Preprocessing, config["preprocessing"], path, written=weights).model_dump(mode="json"),
        prepared.preprocessing.model_dump(mode="json"),
    )
    totals = prepared.manifest["totals"]
    patients = {split: totals[split]["volumes"] for split in ("train", "val")}
    differences += _differences({split: config["data"].get(split) for split in patients}, patients)
    if differences:
        raise InputError(
            f"{weights}: not the weights of this experiment's {step.name} ({listed(differences, most=3)}); "
            "give the experiment that they are of, or leave out --from-weights to train"
        )
    expect_parts(weights / CLOCK, read_json(weights / CLOCK), PARTS[CLOCK], "train writes it")


def _differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    before, after = flatten(there), flatten(wanted)
    return [
        f"{key} was {before.get(key)} and is {after[key]}"
        for key in after
        if key not in FREE and before.get(key) != after[key]
    ]


def _lay(step: Step, weights: Path, out: Path) -> None:
    with whole_folder(step.folder(out)) as part:
        run = part / "run"
        target = run / (BEST if step.kind == "judge" else WEIGHTS)
        make_folder(target)
        for file in weights.iterdir():
            if file.is_file() and file.name not in PARTS:
                _copy(file, target / file.name)
        write_json(run / CLOCK, read_json(weights / CLOCK))
        if step.kind == "judge":
            write_json(run / VALIDATION, _curve(weights, VALIDATION))
        write_json(part / DONE, _done(step, weights))


def _lay_selection(step: Step, weights: Path, out: Path) -> None:
    with whole_folder(step.folder(out)) as part:
        write_json(part / SELECTION, {**_curve(weights, SELECTION), "weights": WEIGHTS})
        write_json(part / DONE, _done(step, weights))


def _done(step: Step, weights: Path) -> dict[str, Any]:
    """What `done.json` says of a step that was taken up: who trained it, where that is known."""
    before = read_json(weights / DONE) if (weights / DONE).is_file() else {}
    unknown = {"seconds": read_json(weights / CLOCK)["seconds"], "device": "unknown", **provenance()}
    return {**unknown, **before, "key": step.key, "weights_sha256": digest(weights)}


def _curve(weights: Path, name: str) -> dict[str, Any]:
    """The selection that published weights hold, or one of themselves alone."""
    path = weights / name
    if not path.is_file():
        return {"rule": GIVEN, "weights": BEST, "images": read_config(weights)["images"], "curve": []}
    values = read_json(path)
    expect_parts(path, values, PARTS[name], "train writes it")
    return values


def _copy(source: Path, target: Path) -> None:
    content = source.read_bytes()  # first, so that an error names the file that it is of
    replace(target, lambda part: part.write_bytes(content))
