"""A YAML experiment as steps with inputs and settings, each with a key that says whether it is done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pseudohealthy import __version__
from pseudohealthy.catalogue.rows import CONTROLS, THRESHOLD_RULE, Row
from pseudohealthy.config import (
    Frozen,
    Preprocessing,
    PresetName,
    Settings,
    assignments,
    merged,
    preprocessing,
    read_yaml,
    settings,
    validated,
)
from pseudohealthy.files import sha256_of_json

Kind = Literal["judge", "train", "choose", "references", "measure"]
# Steps of one stage need only those of the stages before it
STAGES: tuple[tuple[Kind, ...], ...] = (("judge", "train"), ("references", "choose"), ("measure",))

FORMAT = 1  # raised when a step comes to mean something else
DONE = "done.json"  # in a step's folder, written last
WITH_SEGMENTOR = ("paired", "semi_supervised", "unpaired")  # in the order in which their S is preferred
METHODS = ("conditional_gan", "cyclegan", *WITH_SEGMENTOR, "inpainter")
ASIDE = ("preview_every", "checkpoint_every")  # training settings that do not decide the weights
# Settings that came later, at what was done before them: steps done then are done still
BEFORE: Mapping[str, Mapping[str, Any]] = {
    "networks": {"mirrored_input": False},
    "losses": {
        "segmentation_cross_entropy": 0.0,
        "healthy_negatives": 0.0,
        "gradient": 0.0,
        "lesion_crop_adversarial": 0.0,
    },
    "training": {"lesion_appearance": "bright", "warm_up_images": 0, "warm_up_fraction": 0.0},
}
NAME = r"^[A-Za-z0-9_.-]+$"
LAST_ONLY: Mapping[str, Any] = {"training": {"snapshot_every": None}}  # where no checkpoint is chosen
JUDGE_SELECTION = "pooled Dice over every validation slice"  # how a judge's weights are chosen
LEAST_JUDGES = 4  # a panel of three, and the one held back


class Phantoms(Frozen):
    """Synthetic subjects, made on the way.

    Attributes:
        patients: subjects with lesions.
        controls: subjects without.
        seed: subject i of a seed is always the same.
        spacing: voxel size in mm.
    """

    patients: int = Field(gt=0)
    controls: int = Field(0, ge=0)
    seed: int = Field(0, ge=0)
    spacing: float = Field(1.0, gt=0)


class Data(Frozen):
    """Where the cohort comes from, and how it is split.

    Attributes:
        phantom: synthetic subjects; None: the folders that the command line gives.
        layout: of those folders.
        choose: so many subjects, drawn by `seed`; None: all.
        fractions: shares of train, validation and test subjects, where the data set has no split of its own.
        seed: of the choice and the split.
        controls: what `group` in `participants.tsv` calls healthy controls; empty: the words that are known.
    """

    phantom: Phantoms | None = None
    layout: Literal["auto", "bids", "brats", "isles"] = "auto"
    choose: int | None = Field(None, gt=0)
    fractions: tuple[float, float, float] = (0.6, 0.15, 0.25)
    seed: int = Field(0, ge=0)
    controls: tuple[str, ...] = ()


class Experiment(Frozen):
    """An experiment, as its YAML file says it.

    Attributes:
        name: of the results' folder.
        data: the cohort.
        preset: of the preprocessing, and of every method that names none.
        preprocessing: what differs from the preset's.
        settings: of every method and judge, where it differs from the preset.
        methods: one trained method each: `method`, perhaps `preset`, and settings of its own.
        seeds: each method is trained once with each.
        judges: settings of each f_pre by name. The first is the paper's; all but `held_out` are the panel.
        held_out: the judge that is used nowhere but in the final table.
        resegmentation_steps: training steps of the network that looks for the lesion's place in an output.
    """

    name: str = Field(pattern=NAME)
    data: Data = Data()
    preset: PresetName = "default"
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    methods: tuple[dict[str, Any], ...]
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    judges: dict[str, dict[str, Any]]
    held_out: str
    resegmentation_steps: int = Field(120, gt=0)

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if self.held_out not in self.judges or self.held_out == self.first_judge:
            raise ValueError(f"held_out is {self.held_out!r}, expected a judge that is not the first")
        if len(self.judges) < LEAST_JUDGES:
            raise ValueError(
                f"{len(self.judges)} judges, expected {LEAST_JUDGES} or more: a panel of three, one held back"
            )
        odd = [name for name in self.judges if not re.match(NAME, name) or name == THRESHOLD_RULE]
        if odd:
            raise ValueError(
                f"a judge is called {odd[0]!r}; expected letters, digits, . _ -, not {THRESHOLD_RULE}"
            )
        if set_twice := _keys_of(self.judges.values()) & {"method", "preset"}:
            raise ValueError(f"a judge sets {min(set_twice)}, which the experiment decides")
        if any(_losses_of(values).get("healthy") for values in self.judges.values()):
            raise ValueError(
                "a judge sets losses.healthy_identity, which judges have not; "
                "set losses.healthy_negatives instead"
            )
        if len({self.judge(name) for name in self.judges}) < len(self.judges):
            raise ValueError("two judges have the same settings, so that they are one; give them other seeds")
        return self

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        for values in self.methods:
            if values.get("method") not in METHODS:
                raise ValueError(
                    f"a method is {values.get('method')!r}, expected one of {', '.join(METHODS)}"
                )
            if "seed" in values.get("training", {}):
                raise ValueError(
                    f"{values['method']} sets training.seed; set seeds of the experiment instead"
                )
        runs = [(run.method, run.preset) for run in self.runs]
        if len(set(runs)) < len(runs):
            raise ValueError("a method is there twice with one preset")
        if not any(method in WITH_SEGMENTOR for method, _ in runs):
            raise ValueError(f"no method with a segmentor; expected one of {', '.join(WITH_SEGMENTOR)}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds are {list(self.seeds)}; expected each once")
        return self

    @property
    def first_judge(self) -> str:
        """The paper's f_pre."""
        return next(iter(self.judges))

    @property
    def runs(self) -> list[Settings]:
        """The settings of each trained method, with the first seed."""
        return [self.run(values, self.seeds[0]) for values in self.methods]

    def run(self, values: Mapping[str, Any], seed: int) -> Settings:
        """A method's settings: its preset's, then the experiment's, then its own."""
        given = merged(merged(self.settings, values), {"training": {"seed": seed}})
        if values["method"] == "inpainter":
            given = merged(given, LAST_ONLY)
        return settings(None, values.get("preset", self.preset), given)

    def judge(self, name: str) -> Settings:
        """A judge's settings."""
        return settings("judge", self.preset, merged(self.settings, self.judges[name]))

    def preprocess(self) -> Preprocessing:
        """The preprocessing of all its volumes."""
        return preprocessing(self.preset, self.preprocessing)


@dataclass(frozen=True, eq=False)
class Step:
    """Something to be done once.

    Attributes:
        kind: what is done.
        name: for folders and for reading.
        settings: what decides its outcome, beside what it comes after.
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
        parts = [
            FORMAT,
            __version__,
            self.kind,
            row,
            _deciding(self.settings),
            [use.key for use in self.after],
        ]
        return sha256_of_json(parts)

    def folder(self, out: Path) -> Path:
        """Where its outcome lies: another setting is another folder, so that nothing is overwritten."""
        return out / self.kind / f"{self.name}-{self.key[:8]}"


def read_experiment(path: Path, overrides: Iterable[str] = ()) -> Experiment:
    """An experiment's YAML file, with `a.b=c` overrides.

    Raises:
        InputError: not readable, a key that does not exist (its full path is named), a value out of range.
    """
    experiment = validated(Experiment, merged(read_yaml(path), assignments(overrides)), str(path))
    for name in experiment.judges:
        experiment.judge(name)
    experiment.preprocess()
    return experiment


def plan(experiment: Experiment, data_key: str) -> list[Step]:
    """All steps behind the prepared cohort, each after those that it uses.

    Args:
        experiment: what to do.
        data_key: of the prepared cohort's manifest.
    """
    judges = [_judge(experiment, name, data_key) for name in experiment.judges]
    panel = [judge for judge in judges if judge.name != experiment.held_out]
    against: dict[str, Any] = {
        "data": data_key,
        "seed": experiment.data.seed,
        "judges": list(experiment.judges),
        "held_out": experiment.held_out,
        "resegmentation_steps": experiment.resegmentation_steps,
    }
    references = Step("references", "test", against, tuple(judges))
    trained = [
        (_train(experiment, values, seed, data_key), seed)
        for values in experiment.methods
        for seed in experiment.seeds
    ]
    named = {"panel": [judge.name for judge in panel]}
    chosen = [Step("choose", step.name, named, (step, *panel)) for step, _ in trained]
    segmentor = _segmentor(chosen)
    measures = [
        step
        for choice, (_, seed) in zip(chosen, trained, strict=True)
        for step in _of_method(choice, seed, segmentor, references, experiment.resegmentation_steps)
    ]
    for method, mask in CONTROLS:
        uses = (references, segmentor) if mask == "segmentor" else (references,)
        measures.append(_measure(Row(method, mask=mask), uses, experiment.resegmentation_steps))
    return [*judges, references, *(step for step, _ in trained), *chosen, *measures]


def _deciding(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that decide nothing, or decide it as ever."""

    def decides(group: str, key: str, value: object) -> bool:
        beside = group == "training" and key in ASIDE
        return not beside and (key not in BEFORE.get(group, {}) or value != BEFORE[group][key])

    return {
        name: {key: value for key, value in group.items() if decides(name, key, value)}
        if isinstance(group, Mapping)
        else group
        for name, group in values.items()
    }


def _keys_of(groups: Iterable[Mapping[str, Any]]) -> set[str]:
    return {key for group in groups for key in group}


def _losses_of(values: Mapping[str, Any]) -> Mapping[str, Any]:
    losses = values.get("losses")
    return losses if isinstance(losses, Mapping) else {}


def _judge(experiment: Experiment, name: str, data_key: str) -> Step:
    given = {"data": data_key, "selection": JUDGE_SELECTION}
    return Step("judge", name, {**given, **experiment.judge(name).model_dump(mode="json")})


def _train(experiment: Experiment, values: Mapping[str, Any], seed: int, data_key: str) -> Step:
    run = experiment.run(values, seed)
    name = f"{run.method}-{run.preset}-s{seed}"
    return Step("train", name, {"data": data_key, **run.model_dump(mode="json")})


def _segmentor(chosen: Sequence[Step]) -> Step:
    """The run whose S gives the controls their mask: the paired one, or what comes nearest."""
    for method in WITH_SEGMENTOR:
        for step in chosen:
            if step.name.startswith(f"{method}-"):
                return step
    raise ValueError("an experiment has a method with a segmentor")


def _of_method(choice: Step, seed: int, segmentor: Step, references: Step, steps: int) -> list[Step]:
    """The rows of one trained method: raw and blend; of an inpainter, inside S's mask and the true one."""
    trained = choice.after[0].settings
    method, preset = trained["method"], trained["preset"]
    if method == "inpainter":
        return [
            _measure(
                Row(method, preset, mask="segmentor", seed=seed), (references, choice, segmentor), steps
            ),
            _measure(Row(method, preset, mask="true", seed=seed), (references, choice), steps),
        ]
    uses = (references, choice, segmentor)
    return [
        _measure(Row(method, preset, "raw", seed=seed), uses[:2], steps),
        _measure(Row(method, preset, "blend", seed=seed), uses, steps),
    ]


def _measure(row: Row, uses: tuple[Step, ...], steps: int) -> Step:
    return Step("measure", row.name, {"resegmentation_steps": steps}, uses, row)
