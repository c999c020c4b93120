"""The folder of a training run: description, previews, snapshots, weights and the state to resume from."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from pseudohealthy.catalogue.methods import ABILITIES
from pseudohealthy.config import WITHOUT_EFFECT, Settings
from pseudohealthy.data.layouts import listed
from pseudohealthy.data.out_of_distribution import Reference
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.files import flatten, folder_beside, make_folder, write_json, write_text
from pseudohealthy.sampling.sampler import BatchSampler
from pseudohealthy.settings_files import read_yaml, validated
from pseudohealthy.training.checkpoint import load_state, save_discriminators, save_state, save_weights
from pseudohealthy.training.progress import preview_panel
from pseudohealthy.training.trainer import Trainer

SETTINGS, STATE, METRICS, CLOCK = "settings.yaml", "state.pt", "metrics.jsonl", "clock.json"
WEIGHTS, AVERAGED, SNAPSHOTS, PREVIEWS = "weights", "weights_ema", "snapshots", "panels"
PREVIEW_SLICES = 4
PRECISIONS = ("32-true", "bf16-mixed")
# What may change between a run and its resumption: none of these decides the weights.
FREE = ("version", *(f"settings.training.{key}" for key in WITHOUT_EFFECT))


@dataclass(frozen=True)
class Position:
    """Where a run is after a step.

    Attributes:
        images: seen in the present part of the run, the warm-up or the method's own training.
        size: images of a step.
        warm_up: whether that part is the warm-up.
        last: whether the step was the last of its part.
    """

    images: int
    size: int
    warm_up: bool
    last: bool

    def due(self, every: int) -> bool:
        """Whether the step passed a multiple of `every` images, or was the last."""
        return self.last or self.images // every > (self.images - self.size) // every


class RunFolder:
    """What a training run writes, and reads again to resume.

    Args:
        path: of the folder, which need not exist.
        prepared: the cohort; previews show its validation slices.
    """

    def __init__(self, path: Path, prepared: Prepared) -> None:
        self.path, self.prepared = path, prepared

    def refuse_other_run(self, description: Mapping[str, Any]) -> None:
        """Make sure that the folder is empty, or holds the run of this description.

        Raises:
            InputError: it holds another run, or other files.
        """
        if (self.path / SETTINGS).is_file():
            _compare(self.path / SETTINGS, description)
        elif self.path.exists() and not (self.path.is_dir() and all(map(_is_hidden, self.path.iterdir()))):
            raise InputError(
                f"{self.path}: holds other files and no {SETTINGS}; give training a folder of its own"
            )

    def write_description(self, description: Mapping[str, Any]) -> None:
        """Write `settings.yaml`, unless the run has one."""
        if not (self.path / SETTINGS).is_file():
            make_folder(self.path)
            write_text(self.path / SETTINGS, yaml.safe_dump(dict(description), sort_keys=False))

    def saved_state(self) -> dict[str, Any] | None:
        """The state to resume from; None: the run has saved none."""
        return load_state(self.path / STATE) if (self.path / STATE).is_file() else None

    def drop_snapshots_after(self, images: int) -> None:
        """Remove snapshots that an interrupted run made after the state from which it resumes."""
        folder = self.path / SNAPSHOTS
        for snapshot in folder.iterdir() if folder.is_dir() else ():
            if re.fullmatch(r"\d{7,}", snapshot.name) and int(snapshot.name) > images:
                shutil.rmtree(snapshot)

    def save_what_is_due(self, trainer: Trainer, position: Position) -> None:
        """Write the preview, the snapshot, and the weights with the state, each where it is due."""
        training = trainer.training
        if position.due(training.preview_every):
            self._save_preview(trainer, f"{'warm_up_' if position.warm_up else ''}{position.images:07d}")
        if training.snapshot_every and not position.warm_up and position.due(training.snapshot_every):
            self._save_snapshot(trainer)
        if position.due(training.checkpoint_every):
            self._save_checkpoint(trainer)

    def describe_training_data(self) -> None:
        """Write the distribution of the training data beside all weights, to warn of inputs unlike them."""
        with contextlib.suppress(InputError):  # too few volumes for a distribution
            reference = Reference.of(self.prepared)
            for folder in (
                self.path / WEIGHTS,
                self.path / AVERAGED,
                *(self.path / SNAPSHOTS).glob("*"),
            ):
                reference.write(folder)

    def _save_checkpoint(self, trainer: Trainer) -> None:
        """The weights, raw and averaged, the state to resume from, and the time used."""
        for name, averaged in ((WEIGHTS, False), (AVERAGED, True)):
            self._save_weights(self.path / name, trainer, averaged=averaged)
        save_discriminators(self.path / WEIGHTS, trainer.method.discriminators)
        write_json(self.path / CLOCK, {**trainer.seen, "seconds": round(trainer.seconds, 3)})
        save_state(self.path / STATE, trainer.state())  # last: what it says is done is not done again

    def _save_snapshot(self, trainer: Trainer) -> None:
        """The weights, raw or averaged as the method says, in a folder that is whole or absent."""
        folder = self.path / SNAPSHOTS / f"{trainer.images:07d}"
        make_folder(folder.parent)
        with folder_beside(self.path) as part:
            self._save_weights(part / folder.name, trainer, averaged=trainer.method.averaged)
            (part / folder.name).replace(folder)

    def _save_weights(self, folder: Path, trainer: Trainer, *, averaged: bool) -> None:
        manifest = self.prepared.manifest
        networks = cast(nn.ModuleDict, trainer.averaged.module) if averaged else trainer.method.generators
        config = {
            "settings": trainer.settings.model_dump(mode="json"),
            "preprocessing": self.prepared.preprocessing.model_dump(mode="json"),
            "data": {
                "key": manifest["key"],
                "cohort": manifest["cohort"],
                **{str(split): totals["volumes"] for split, totals in manifest["totals"].items()},
            },
            **trainer.seen,
            "averaged": averaged,
        }
        save_weights(folder, networks, config)

    @torch.no_grad()
    def _save_preview(self, trainer: Trainer, name: str) -> None:
        """A panel of validation slices, or of training slices where no validation slice has a lesion."""
        table, prepared = self.prepared.slices, self.prepared
        split = "val" if ((table["split"] == "val") & (table["label"] == "pathological")).any() else "train"
        slices = BatchSampler(prepared, split, frozenset(), trainer.training)  # type: ignore[arg-type]
        rows = slices.evenly(PREVIEW_SLICES)
        lesion = prepared.masks[rows].astype(np.float32)
        x, m = (
            torch.from_numpy(stack)[:, None].to(trainer.fabric.device)
            for stack in (prepared.images[rows], lesion)
        )
        images = _preview_images(trainer, x, m.to(x))
        arrays = {title: image[:, 0].float().cpu().numpy() for title, image in images.items()}
        subjects = [str(subject) for subject in table["subject"].iloc[rows]]
        preview_panel(
            self.path / PREVIEWS / f"{name}.png",
            {**arrays, "lesion": lesion},
            subjects,
            f"{trainer.settings.method}, {trainer.where}, {split} slices",
        )


def _preview_images(trainer: Trainer, x: Tensor, m: Tensor) -> dict[str, Tensor]:
    """What the method's networks can make of slices `(N, 1, H, W)` and their masks, by title."""
    networks = {ABILITIES[letter]: network for letter, network in trainer.method.generators.items()}
    images = {"input": x}
    with trainer.fabric.autocast():
        if "synthesize" in networks:
            images["healthy"] = networks["synthesize"](x)
            images["difference"] = images["healthy"] - x
        if "segment" in networks:
            images["lesion probability"] = networks["segment"](x)
        if "inpaint" in networks:
            images["filled in"] = m * networks["inpaint"](x, m) + (1 - m) * x
    return images


def _is_hidden(path: Path) -> bool:
    """Whether it is a hidden file, such as one half written that a killed process leaves behind."""
    return path.name.startswith(".")


def begun_in(path: Path) -> str | None:
    """The precision in which a run in the folder `path` was begun; None: there is none."""
    written = read_yaml(path / SETTINGS).get("precision") if (path / SETTINGS).is_file() else None
    return written if written in PRECISIONS else None


def _compare(path: Path, description: Mapping[str, Any]) -> None:
    """Refuse a description other than that in `path`; settings it lacks have their default there."""
    written = read_yaml(path)
    settings = validated(Settings, written.get("settings"), str(path), written=path.parent)
    before = flatten({**written, "settings": settings.model_dump(mode="json")})
    after = flatten(description)
    keys = [key for key in after if key not in FREE and before.get(key) != after[key]]
    if keys:
        differences = listed((f"{key} was {before.get(key)} and is {after[key]}" for key in keys), most=3)
        raise InputError(
            f"{path.parent}: holds a run of other settings ({differences}); choose another folder"
        )
