"""Images with transplanted lesions as files: which are wanted, which are there already; and saving them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pseudohealthy import files
from pseudohealthy.config import LARGEST_SEED
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.layouts import nifti_files
from pseudohealthy.data.mask import marked_voxels
from pseudohealthy.data.nifti_file import sha256_of_nifti
from pseudohealthy.data.volume import read_labels, write_volume
from pseudohealthy.errors import RESEARCH_USE, InputError, printable
from pseudohealthy.json_files import read_json
from pseudohealthy.synthesis.lesion_placement import Tissue, drawn_mask, placed_mask
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.output_files import expect_short_names, output_stem, sidecar_path
from pseudohealthy.synthesis.transplantation import (
    Mask,
    Recipient,
    Transplantation,
    expect_reconstructor,
    tissue_level,
)

LARGEST_ML = 2000  # of a lesion: more than any brain holds
MOST_LESIONS = 1000  # for each image
DRAWN = "drawn"  # the origin of a mask that is no file's
KEY = "Transplantation"  # of the sidecars
DESCRIPTIONS = {
    "image": "The input with a lesion that it did not have, in the input's intensity units; but for the "
    "lesion and 3 mm around it, it is the input.",
    "mask": "The transplanted lesion.",
}


@dataclass(frozen=True)
class LesionChoice:
    """Which lesions are to be put into each image; without `lesion` and `masks`, shapes drawn at random.

    Attributes:
        lesion: a mask on the image's own grid.
        masks: a folder of masks, whose shapes are put at random places.
        brain_mask: of the image; None: the brain is found.
        count: lesions for each image, one an output.
        seed: of shapes, places and brightness.
        volume_ml: of a drawn shape; None: drawn too.
    """

    lesion: Path | None = None
    masks: Path | None = None
    brain_mask: Path | None = None
    count: int = 1
    seed: int = 0
    volume_ml: float | None = None

    def check(self, images: int) -> None:
        """Raise an `InputError` where the wishes contradict each other, or are beyond the limits."""
        if self.lesion and self.masks:
            raise InputError("--lesion and --masks: expected one of them, a mask or a folder to draw from")
        if self.lesion and (images > 1 or self.count > 1):
            raise InputError("--lesion is one lesion for one image; give --masks FOLDER for several")
        if self.brain_mask and images > 1:
            raise InputError("--brain-mask is for one image; give several images without their skulls")
        if self.volume_ml is not None and (self.lesion or self.masks):
            raise InputError("--volume is for drawn shapes; masks that are given keep their size")
        if self.volume_ml is not None and not 0 < self.volume_ml <= LARGEST_ML:
            raise InputError(f"--volume is {self.volume_ml:g} ml; expected more than 0, at most {LARGEST_ML}")
        if not 1 <= self.count <= MOST_LESIONS:
            raise InputError(f"--count is {self.count}; expected 1 to {MOST_LESIONS}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise InputError(f"--seed is {self.seed}; expected 0 to {LARGEST_SEED}")

    @cached_property
    def mask_library(self) -> tuple[Path, ...]:
        """The masks of the folder: those that lie in it, else those of a data set's training patients.

        Raises:
            InputError: there is none, or the folder cannot be read.
        """
        if self.masks is None:
            return ()
        try:
            return self._masks_of(self.masks)
        except OSError as error:
            raise InputError(
                f"--masks {self.masks}: cannot be read ({error.strerror}); expected a folder of NIfTI masks"
            ) from error

    @staticmethod
    def _masks_of(folder: Path) -> tuple[Path, ...]:
        if not folder.is_dir():
            raise InputError(f"--masks {folder}: no such folder; expected a folder of NIfTI masks")
        if inside := nifti_files(folder, "*"):
            return tuple(inside)
        volumes = read_cohort([folder]).volumes
        found = tuple(v.mask for v in volumes if v.mask and v.split in (None, "train"))
        if not found:
            raise InputError(
                f"--masks {folder}: holds no lesion mask of a training patient; expected one or more"
            )
        return found

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the lesions, beside the image and the weights: numbers, and SHA-256 of the files.

        Raises:
            InputError: a mask cannot be read.
        """
        masks = [sha256_of_nifti(path) for path in self.mask_library]
        return {
            "seed": self.seed,
            "volume_ml": self.volume_ml,
            "lesion": self.lesion and sha256_of_nifti(self.lesion),
            "masks": files.sha256_of_json(masks) if masks else None,
            "brain_mask": self.brain_mask and sha256_of_nifti(self.brain_mask),
        }


@dataclass(frozen=True)
class Output:
    """One lesion in one image, and where it goes.

    Attributes:
        image: a NIfTI file.
        number: of the lesion, from 1.
        folder: where its files go.
        begin: of their names.
    """

    image: Path
    number: int
    folder: Path
    begin: str

    @property
    def paths(self) -> dict[str, Path]:
        """The volumes, by what they are; each has a sidecar beside it."""
        return {
            "image": self.folder / f"{self.begin}_desc-transplanted_FLAIR.nii.gz",
            "mask": self.folder / f"{self.begin}_label-lesion_desc-transplanted_mask.nii.gz",
        }

    @property
    def every(self) -> list[Path]:
        """All its files."""
        return [path for volume in self.paths.values() for path in (volume, sidecar_path(volume))]

    @property
    def work(self) -> str:
        """What its parts and journal are called by; `synthesize` may write beside it, for the same image."""
        return f"{self.begin}_desc-transplanted"

    @property
    def journal(self) -> Path:
        """See `files.move_together`."""
        return self.folder / f".{self.work}.unfinished"

    def is_done(self, made_from: Mapping[str, Any]) -> bool:
        """Whether its files are there, made of just this.

        Raises:
            InputError: some are there, and were made of something else; or a name would be too long.
        """
        expect_short_names(self.image.name, self.every)
        unfinished = files.unfinished(self.journal)
        there = [path for path in self.every if path.exists() and path not in unfinished]
        if not there:
            return False
        try:
            before = read_json(sidecar_path(self.paths["image"]))[KEY]["made_from"]
            other = [name for name, value in made_from.items() if before.get(name) != value]
        except (InputError, KeyError, TypeError, AttributeError):
            before, other = None, []
        if before is None or other or len(there) < len(self.every):
            named = (name.removesuffix("_ml").replace("_", " ") for name in other)
            why = f"was made with another {', '.join(named)}" if other else "exists already"
            raise InputError(f"{there[0]}: {why}; nothing is replaced, so choose another folder")
        return True


@dataclass(frozen=True, eq=False)
class Made:
    """What became of an output: its report, or that it was there already, or why it could not be made."""

    output: Output
    report: Mapping[str, Any] | None = None
    error: str | None = None


@dataclass(eq=False)
class Transplanter:
    """Puts lesions into images, one after another.

    Attributes:
        model: with a reconstructor.
        choice: of the lesions.
    """

    model: Model
    choice: LesionChoice
    _digests: dict[Path, str | InputError] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        expect_reconstructor(self.model)

    def pending(self, outputs: Sequence[Output]) -> list[Output]:
        """The outputs that are not there yet, and all of an image that cannot be read: `made` raises for it.

        Raises:
            InputError: a mask cannot be read, or an output is there that was made of something else, or would
                have too long a name.
        """
        return [
            output
            for output in outputs
            if isinstance(self._digest(output.image), InputError)
            or not output.is_done(self._made_from(output))
        ]

    def made(self, outputs: Sequence[Output]) -> Iterator[Made]:
        """Make the outputs of one image, and save them.

        Raises:
            InputError: the image or a mask cannot be used.
        """
        if isinstance(unreadable := self._digest(outputs[0].image), InputError):
            raise unreadable
        recipient = Recipient.of(outputs[0].image, self.model, brain_mask=self.choice.brain_mask)
        tissue = None if self.choice.lesion else Tissue.of(recipient.brain.alone)
        for output in outputs:
            made = self._given(recipient) if tissue is None else self._drawn(recipient, tissue, output)
            self._save(output, made)
            yield Made(output, made.report)

    def _given(self, recipient: Recipient) -> Transplantation:
        assert self.choice.lesion is not None
        mask, origin, warnings = recipient.own_mask(self.choice.lesion)
        return recipient.transplanted(mask, origin, warnings=warnings)

    def _drawn(self, recipient: Recipient, tissue: Tissue, output: Output) -> Transplantation:
        """The lesion of a seed, a number, and an image's subject, session and name.

        It is the same whichever others are made.
        """
        labels = [entity_of(output.image, key) or "" for key in ("sub", "ses")]
        image = "/".join([*labels, output_stem(output.image.name)]).encode("utf-8", "surrogateescape")
        rng = np.random.default_rng([self.choice.seed, output.number, *image])
        level = tissue_level(self.model)
        low, high = max(level.median - level.deviation, level.median / 2), level.median + level.deviation
        drawn_level = float(rng.uniform(low, min(high, 1.0)))
        mask, origin = self._mask(tissue, rng)
        return recipient.transplanted(mask, origin, level=drawn_level)

    def _mask(self, tissue: Tissue, rng: np.random.Generator) -> tuple[Mask, str]:
        """A mask and where it comes from."""
        library = self.choice.mask_library
        if not library:
            return drawn_mask(tissue, rng, self.choice.volume_ml), DRAWN
        for nth in rng.permutation(len(library)):
            given = read_labels(library[nth])
            mask = placed_mask(tissue, marked_voxels(given, "lesion")[0], given.affine, rng)
            if mask is not None:
                return mask, library[nth].name
        raise InputError(
            f"{tissue.name}: none of the {len(library)} masks in {self.choice.masks} fits into its brain; "
            "expected a lesion mask that is not empty, and smaller than the brain"
        )

    def _digest(self, image: Path) -> str | InputError:
        """SHA-256 of an image, or why it cannot be read."""
        if image not in self._digests:
            try:
                self._digests[image] = sha256_of_nifti(image)
            except InputError as error:
                self._digests[image] = error
        return self._digests[image]

    def _made_from(self, output: Output) -> dict[str, Any]:
        """What decides an output of an image that can be read."""
        return {
            "image": self._digest(output.image),
            "weights": self.model.provenance["sha256"],
            "number": output.number,
            **self.choice.fingerprint,
        }

    def _save(self, output: Output, made: Transplantation) -> None:
        """Write the volumes and their sidecars, all of them or none."""
        facts = {**made.report, "made_from": self._made_from(output)}
        with files.folder_beside(output.folder, output.work) as part:
            for kind, path in output.paths.items():
                data = made.image if kind == "image" else made.mask
                write_volume(part / path.name, data, made.volume, mask=kind == "mask")
                files.write_json(part / sidecar_path(path).name, _sidecar(kind, output, facts))
            files.move_together(part, output.folder, output.journal)


def entity_of(image: Path, key: str) -> str | None:
    """What the image's name, or else the folders above it, say after `sub-` or `ses-`."""
    for part in (image.name, *(folder.name for folder in list(image.absolute().parents)[:3])):
        if found := re.match(rf"(?:.*_)?{key}-([a-zA-Z0-9]+)(?:_|$)", part):
            return found[1]
    return None


def _sidecar(kind: str, output: Output, facts: Mapping[str, Any]) -> dict[str, Any]:
    about: dict[str, Any] = {
        "Description": f"{DESCRIPTIONS[kind]} {RESEARCH_USE}",
        "Sources": [printable(output.image.name)],
    }
    if kind == "mask":
        reference = printable(output.paths["image"].name)
        return {**about, "Type": "Lesion", "Manual": False, "SpatialReference": reference, KEY: facts}
    return {**about, "SkullStripped": facts["skull"] == "absent", KEY: facts}
