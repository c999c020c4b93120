"""An experiment as steps with inputs and settings, each with a key that says whether it is done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pseudohealthy.catalogue.methods import METHODS
from pseudohealthy.catalogue.rows import CONTROLS, Row, some_of_the_masks, training_name
from pseudohealthy.config import WITHOUT_EFFECT
from pseudohealthy.errors import InputError
from pseudohealthy.experiment.config import Experiment
from pseudohealthy.files import sha256_of_json
from pseudohealthy.json_files import Kind as JsonKind
from pseudohealthy.json_files import expect_parts, read_json

Kind = Literal["judge", "train", "protocol", "select", "measure"]
# Steps of one stage need only those of the stages before it
STAGES: tuple[tuple[Kind, ...], ...] = (("judge", "train"), ("protocol", "select"), ("measure",))

# Raised when a kind of step comes to mean something else: those of earlier formats are done again
FORMAT: Mapping[Kind, int] = {"judge": 1, "train": 1, "protocol": 1, "select": 1, "measure": 1}
DONE = "done.json"  # in a step's folder, written last
SELECTION = "selection.json"  # in a selection's: the weights that it selected, and the curve
# The first of these methods that an experiment has makes the masks of the controls and blends
SEGMENTOR_PREFERENCE = ("paired", "semi_supervised", "unpaired")
JUDGE_SELECTION = "pooled Dice over every validation slice"  # how a judge's weights are selected
# What the files of a finished step hold
PARTS: Mapping[str, Mapping[str, JsonKind]] = {
    DONE: {"key": str},
    SELECTION: {"weights": str, "images": int, "curve": list},
    "validation.json": {"weights": str, "images": int, "curve": list},
    "clock.json": {"images": int, "seconds": (float, int)},
}


@dataclass(frozen=True, eq=False)
class Step:
    """Something to be done once.

    Attributes:
        kind: what is done.
        name: for folders and for reading.
        settings: what decides its outcome, beside the outcomes of `after`.
        after: the steps whose outcome it uses.
        row: of a measure.
    """

    kind: Kind
    name: str
    settings: Mapping[str, Any]
    after: tuple[Step, ...] = field(default=())
    row: Row | None = None

    @cached_property
    def key(self) -> str:
        """A hash of everything that decides its outcome."""
        row = None if self.row is None else asdict(self.row)
        inputs = [use.key for use in self.after]
        parts = [FORMAT[self.kind], self.kind, row, _deciding(self.settings), inputs]
        return sha256_of_json(parts)

    @property
    def training(self) -> Step:
        """Of a selection: the training from whose checkpoints it selects."""
        return self.after[0]

    @property
    def selections(self) -> list[Step]:
        """Of a measure: the selections that it uses, a trained row's own first."""
        return [use for use in self.after if use.kind == "select"]

    def folder(self, out: Path) -> Path:
        """Where its outcome lies: another setting is another folder, so that nothing is overwritten."""
        return out / self.kind / f"{self.name}-{self.key[:8]}"

    def read_json(self, out: Path, name: str) -> dict[str, Any]:
        """A JSON file of its folder.

        Raises:
            InputError: it is damaged, or lacks a part.
        """
        path, remedy = self.folder(out) / name, self._remedy(out)
        values = read_json(path, remedy=remedy)
        expect_parts(path, values, PARTS.get(Path(name).name, {}), remedy)
        return values

    @contextlib.contextmanager
    def reading(self, out: Path) -> Iterator[None]:
        """While files of its folder are read: what damaged ones raise becomes an `InputError`."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # of JSON, tables and arrays
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(f"{self.folder(out)}: damaged ({reason}); {self._remedy(out)}") from error

    def _remedy(self, out: Path) -> str:
        return f"remove {self.folder(out)} and run the experiment again"

    def is_done(self, out: Path) -> bool:
        """Whether its folder says that it is finished, with exactly these settings and inputs."""
        try:
            return bool(self.read_json(out, DONE).get("key") == self.key)
        except InputError:
            return False


def list_steps(experiment: Experiment, data_key: str) -> list[Step]:
    """All steps behind the prepared cohort, each after those that it uses.

    Args:
        experiment: what to do.
        data_key: of the prepared cohort's manifest.
    """
    judges = [_judge(experiment, name, data_key) for name in experiment.judges]
    panel = [judge for judge in judges if judge.name != experiment.held_out]
    protocol = _protocol(experiment, data_key, judges)
    trainings = [
        _train(experiment, values, seed, data_key)
        for values in experiment.methods
        for seed in experiment.seeds
    ]
    names = {"panel": [judge.name for judge in panel]}
    selections = [Step("select", training.name, names, (training, *panel)) for training in trainings]
    measures = _measures(selections, protocol, experiment.resegmentation_steps)
    return [*judges, *trainings, protocol, *selections, *measures]


def _deciding(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that do not decide the outcome, and without what is None.

    So a step done before an option was there, which is None unless given, has the key that it had.
    """
    return {
        key: _deciding(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None and key not in WITHOUT_EFFECT
    }


def _judge(experiment: Experiment, name: str, data_key: str) -> Step:
    about = {"data": data_key, "selection": JUDGE_SELECTION}
    return Step("judge", name, {**about, **experiment.judge(name).model_dump(mode="json")})


def _train(experiment: Experiment, values: Mapping[str, Any], seed: int, data_key: str) -> Step:
    run = experiment.run(values, seed)
    name = training_name(run.method, run.preset, seed, some_of_the_masks(run.training.labelled_fraction))
    return Step("train", name, {"data": data_key, **run.model_dump(mode="json")})


def _protocol(experiment: Experiment, data_key: str, judges: Sequence[Step]) -> Step:
    settings = {
        "data": data_key,
        "seed": experiment.data.seed,
        "judges": list(experiment.judges),
        "held_out": experiment.held_out,
        "resegmentation_steps": experiment.resegmentation_steps,
    }
    return Step("protocol", "test", settings, tuple(judges))


def _measures(selections: Sequence[Step], protocol: Step, resegmentation_steps: int) -> list[Step]:
    """The rows of every trained method, then the controls."""
    segmentor = _segmentor(selections)
    rows: list[tuple[Row, tuple[Step, ...]]] = [
        (row, (protocol, selection, segmentor) if needs_segmentor else (protocol, selection))
        for selection in selections
        for row, needs_segmentor in _rows(selection.training.settings)
    ]
    rows += [
        (Row(method, mask=mask), (protocol, segmentor) if mask == "segmentor" else (protocol,))
        for method, mask in CONTROLS
    ]
    settings = {"resegmentation_steps": resegmentation_steps}
    return [Step("measure", row.name, settings, uses, row) for row, uses in rows]


def _segmentor(selections: Sequence[Step]) -> Step:
    """The selection whose segmentor makes the controls' masks: of the paired method, or the nearest to it."""
    with_segmentor = [step for step in selections if METHODS[step.training.settings["method"]].can("segment")]
    return min(with_segmentor, key=lambda step: _preference(step.training.settings["method"]))


def _preference(method: str) -> int:
    known = SEGMENTOR_PREFERENCE
    return known.index(method) if method in known else len(known)


def _rows(trained: Mapping[str, Any]) -> list[tuple[Row, bool]]:
    """A trained method's rows, each with whether it needs the mask of the experiment's segmentor.

    They are its raw images and their blend; of an inpainter, its images inside the segmentor's mask and
    inside the true one.
    """
    method, training = trained["method"], trained["training"]
    masks = some_of_the_masks(training["labelled_fraction"])
    row = Row(method, trained["preset"], seed=training["seed"], labelled_fraction=masks)
    if METHODS[method].can("inpaint"):
        return [(replace(row, mask="segmentor"), True), (replace(row, mask="true"), False)]
    return [(row, False), (replace(row, output="blend"), True)]
