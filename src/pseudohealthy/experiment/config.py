"""An experiment's YAML file: its cohort, methods, judges and seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from pseudohealthy.catalogue.methods import METHODS, SYNTHESIS, SettingsGroup
from pseudohealthy.catalogue.rows import THRESHOLD_RULE
from pseudohealthy.config import (
    LARGEST_SEED,
    MOST_IMAGES,
    MOST_PHANTOMS,
    Frozen,
    Preprocessing,
    PresetName,
    Seed,
    Settings,
    preprocessing,
    settings,
)
from pseudohealthy.data.layouts import Layout
from pseudohealthy.settings_files import assignments, merged, read_yaml, validated

TRAINABLE = tuple(name for name, method in METHODS.items() if method.role != "judge")
FACTORIZATION = tuple(name for name in SYNTHESIS if METHODS[name].can("segment"))
# An experiment's `settings` are meant for all methods and judges; one that does not read a setting keeps its
# default, so that a change of it does not train that one again.
READ_BY_SOME: Mapping[SettingsGroup, Mapping[str, tuple[str, ...]]] = {
    "unet": {"networks": ("segmentor_width", "segmentor_residual")},
    "generator": {
        "networks": ("width", "discriminator_width", "output_mode", "long_skips", "mirrored_input"),
        "training": (
            *("fake_pool_size", "discriminator_steps", "discriminator_steps_later"),
            "discriminator_epoch",
        ),
    },
    "factorization": {
        "networks": ("reconstructor_output_mode",),
        "losses": (
            *("cycle_parts", "gan_parts", "gan_mask", "mask_discriminator_input", "cycle_noise"),
            *("healthy_identity", "identity_outside_lesion", "residual_lesion"),
            *("synthetic_supervision", "gradient", "lesion_crop_adversarial"),
        ),
        "training": (
            *("warm_up_images", "warm_up_fraction", "synthetic_fraction", "transplanted_fraction"),
            "replay_steps",
        ),
    },
}
NO_SNAPSHOTS: Mapping[str, Any] = {"training": {"snapshot_every": None}}
NAME = r"^[A-Za-z0-9_.-]+$"
MOST_RUNS = 100  # methods, seeds or judges of an experiment
LEAST_JUDGES = 4  # a panel of three, and the held-out one


class Phantoms(Frozen):
    """Synthetic subjects, made on the way.

    Attributes:
        patients: subjects with lesions.
        controls: subjects without.
        seed: subject i of a seed is always the same.
        spacing: voxel size in mm.
    """

    patients: int = Field(gt=0, le=MOST_PHANTOMS)
    controls: int = Field(0, ge=0, le=MOST_PHANTOMS)
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    spacing: float = Field(1.0, ge=0.5, le=6)


class Data(Frozen):
    """Where the cohort comes from, and how it is split.

    Attributes:
        phantom: synthetic subjects; None: the folders that the command line gives.
        layout: of those folders.
        choose: number of subjects to draw by `seed`; None: all.
        fractions: shares of train, validation and test subjects, where the data set has no split of its own.
        seed: of that draw and the split.
        controls: what `group` in `participants.tsv` calls healthy controls; empty: the words that are known.
    """

    phantom: Phantoms | None = None
    layout: Layout = "auto"
    choose: int | None = Field(None, gt=0, le=MOST_IMAGES)
    fractions: tuple[float, float, float] = (0.6, 0.15, 0.25)
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    controls: tuple[str, ...] = ()


class Experiment(Frozen):
    """An experiment, as its YAML file says it.

    Attributes:
        name: of the results' folder.
        data: the cohort.
        preset: of the preprocessing, and of every method that names none.
        preprocessing: what differs from the preset's.
        settings: of every method and judge that reads them, where they differ from the preset.
        methods: one trained method each: `method`, perhaps `preset`, and settings of its own; at most 100.
            One may be there again with another preset, or given another fraction of the masks.
        seeds: each method is trained once with each; at most 100, each below 2^32.
        judges: settings of each judge (f_pre in the paper) by name, at most 100. The first is the paper's;
            all but `held_out` are the panel.
        held_out: the judge that is used nowhere but in the final table.
        resegmentation_steps: training steps of the network that segments the lesion's place in an output.
    """

    name: str = Field(pattern=NAME)
    data: Data = Data()
    preset: PresetName = "default"
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    methods: tuple[dict[str, Any], ...] = Field(max_length=MOST_RUNS)
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, max_length=MOST_RUNS)
    judges: dict[str, dict[str, Any]] = Field(max_length=MOST_RUNS)
    held_out: str
    resegmentation_steps: int = Field(120, gt=0, le=1_000_000)

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if self.held_out not in self.judges or self.held_out == self.first_judge:
            raise ValueError(f"held_out is {self.held_out!r}, expected a judge that is not the first")
        if len(self.judges) < LEAST_JUDGES:
            raise ValueError(
                f"{len(self.judges)} judges, expected {LEAST_JUDGES} or more: a panel of three, one held out"
            )
        odd = [name for name in self.judges if not re.match(NAME, name) or name == THRESHOLD_RULE]
        if odd:
            raise ValueError(
                f"a judge is called {odd[0]!r}; expected letters, digits, . _ -, not {THRESHOLD_RULE}"
            )
        if set_twice := _keys_of(self.judges.values()) & {"method", "preset"}:
            raise ValueError(f"a judge sets {min(set_twice)}, which the experiment decides")
        if any(_group(values, "losses").get("healthy_identity") for values in self.judges.values()):
            raise ValueError(
                "a judge sets losses.healthy_identity, which judges have not; "
                "set losses.healthy_negatives instead"
            )
        if len({self.judge(name) for name in self.judges}) < len(self.judges):
            raise ValueError("two judges have the same settings, so that they are one; give them other seeds")
        return self

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        _group(self.settings, "training")
        for values in self.methods:
            if values.get("method") not in TRAINABLE:
                raise ValueError(
                    f"a method is {values.get('method')!r}, expected one of {', '.join(TRAINABLE)}"
                )
            if "seed" in _group(values, "training"):
                raise ValueError(
                    f"{values['method']} sets training.seed; set seeds of the experiment instead"
                )
            for group, keys in _unread(values["method"]).items():
                own = values.get(group)
                for key in sorted(keys & set(own if isinstance(own, Mapping) else ())):
                    raise ValueError(
                        f"{values['method']} sets {group}.{key}, which it does not read; leave it out"
                    )
        runs = [(run.method, run.preset, run.training.labelled_fraction) for run in self.runs]
        if len(set(runs)) < len(runs):
            raise ValueError("a method is there twice with one preset and one training.labelled_fraction")
        if not any(method in FACTORIZATION for method, *_ in runs):
            raise ValueError(f"no method with a segmentor; expected one of {', '.join(FACTORIZATION)}")
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
        """A method's settings, as far as it reads them: its preset's, the experiment's, then its own."""
        given = merged(merged(self.settings, values), {"training": {"seed": seed}})
        if not METHODS[values["method"]].can("synthesize"):  # its last weights are used
            given = merged(given, NO_SNAPSHOTS)
        return as_read(settings(None, values.get("preset", self.preset), given))

    def judge(self, name: str) -> Settings:
        """A judge's settings, as far as it reads them."""
        return as_read(settings("judge", self.preset, merged(self.settings, self.judges[name])))

    def preprocess(self) -> Preprocessing:
        """The preprocessing of all its volumes."""
        return preprocessing(self.preset, self.preprocessing)


def read_experiment(path: Path, overrides: Iterable[str] = ()) -> Experiment:
    """An experiment's YAML file, with `a.b=c` overrides.

    Raises:
        InputError: not readable, a key that does not exist (its full path is named), a value out of range.
    """
    values = merged(read_yaml(path), assignments(overrides))
    experiment = validated(Experiment, values, str(path), written=path)
    for name in experiment.judges:
        experiment.judge(name)
    experiment.preprocess()
    return experiment


def as_read(given: Settings) -> Settings:
    """The same with the defaults of the settings that the method does not read."""
    return validated(Settings, given.model_dump(exclude=_unread(given.method)))


def _unread(method: str) -> dict[str, set[str]]:
    """The settings that a method does not read, by group."""
    unread: dict[str, set[str]] = {}
    for name in METHODS[method].unread:
        for group, keys in READ_BY_SOME[name].items():
            unread.setdefault(group, set()).update(keys)
    return unread


def _keys_of(groups: Iterable[Mapping[str, Any]]) -> set[str]:
    return {key for group in groups for key in group}


def _group(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A group of settings; one that is not there is empty.

    Raises:
        ValueError: it is something else, such as null.
    """
    group = values.get(name, {})
    if not isinstance(group, Mapping):
        raise ValueError(  # noqa: TRY004
            f"{name} is {group!r}; expected settings as `key: value`, or leave {name} out"
        )
    return group
