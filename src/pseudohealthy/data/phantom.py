"""The embedded data set: a cohort of synthetic patients and controls, each with its true healthy image."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from pseudohealthy import __version__
from pseudohealthy.config import SPLITS, Split
from pseudohealthy.data.phantom_anatomy import healthy, template
from pseudohealthy.data.phantom_fields import Frame
from pseudohealthy.data.phantom_lesions import Diseased, diseased
from pseudohealthy.data.phantom_scanner import Scanner
from pseudohealthy.errors import RESEARCH_USE, InputError

Progress = Callable[[int, int, str], None]

_COLUMNS = ("participant_id", "group", "split", "lesions", "lesion_ml", "mass_effect")
_README = f"""Synthetic FLAIR images of brains with and without lesions. Nobody was scanned.

The anatomy is that of the ICBM152 2009a symmetric template (MNI152) as it comes with nilearn, deformed and given
new contrast for every subject; the lesions are drawn. `derivatives/healthy` holds what each brain looks like
without its lesions, `derivatives/lesions` the lesions' masks (core and oedema).

Template: Fonov et al., NeuroImage 54 (2011) 313-327; Fonov et al., NeuroImage 47 (2009) S102; Collins et al.,
ANIMAL+INSECT, IPMI 1999, 210-223. Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal
Neurological Institute, McGill University. Permission to use, copy, modify, and distribute this software and its
documentation for any purpose and without fee is hereby granted, provided that the above copyright notice appear in
all copies. The authors and McGill University make no representations about the suitability of this software for any
purpose. It is provided "as is" without express or implied warranty.

{RESEARCH_USE}
"""


@dataclass(frozen=True, eq=False)
class Phantom:
    """One synthetic subject on the grid of a frame; images int16 (I, J, K), 0 outside the brain.

    Attributes:
        image: as scanned.
        truth: as it would have been scanned without lesions: equal to `image` where no lesion reaches.
        mask: whole lesions.
        lesions: how many.
        mass_effect: whether `truth` also differs from `image` around the lesion, where tissue was pushed away.
    """

    image: NDArray[np.int16]
    truth: NDArray[np.int16]
    mask: NDArray[np.bool_]
    lesions: int
    mass_effect: bool


def phantom(
    group: Literal["patient", "control"], number: int, *, seed: int = 0, spacing: float = 1.0
) -> Phantom:
    """The `number`-th patient or control of a seed: always the same, however many there are.

    Raises:
        InputError: nilearn, whose anatomy is used, is not installed.
    """
    frame = Frame(spacing)
    streams = np.random.SeedSequence([seed, ("patient", "control").index(group), number]).spawn(3)
    anatomy_rng, lesion_rng, scanner_rng = (np.random.default_rng(stream) for stream in streams)
    anatomy = healthy(anatomy_rng, frame)
    brain = anatomy.brain
    disease = Diseased(anatomy.signal, np.zeros_like(brain), 0, False)
    if group == "patient":
        disease = diseased(lesion_rng, frame, anatomy)
    scanner = Scanner.drawn(scanner_rng, frame)
    image, truth = (scanner.image(signal, brain) for signal in (disease.signal, anatomy.signal))
    return Phantom(image, truth, disease.mask, disease.lesions, disease.mass_effect)


def make_phantoms(
    out: Path,
    *,
    patients: int,
    controls: int = 0,
    seed: int = 0,
    spacing: float = 1.0,
    splits: tuple[float, float, float] = (0.6, 0.15, 0.25),
    progress: Progress | None = None,
) -> Path:
    """Write a BIDS data set of synthetic subjects to `out`, whole or not at all; returns `out`.

    Images are skull-stripped FLAIR, int16, RAS, isotropic voxels of `spacing` mm. `participants.tsv` fixes the
    split: shares of training, validation and test subjects of each group. A folder that already holds exactly this
    data set is left as it is.

    Raises:
        InputError: `out` holds something else, a value is out of range, or nilearn is not installed.
    """
    _check(patients, controls, seed, spacing, splits)
    recipe = (
        f"patients={patients}, controls={controls}, seed={seed}, spacing={spacing:g} mm, "
        f"splits={'/'.join(f'{share:g}' for share in splits)}"
    )
    description = _description("pseudohealthy phantoms", "raw", recipe)
    if _holds(out, description):
        return out
    template(spacing)  # a missing nilearn is told before anything is written
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        _write_cohort(beside, list(_subjects(patients, controls, seed, splits)), seed, spacing, progress)
        _write_json(beside / "dataset_description.json", description)
        beside.chmod(0o755)
        if out.exists():
            out.rmdir()
        os.replace(beside, out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return out


def _check(
    patients: int, controls: int, seed: int, spacing: float, splits: tuple[float, float, float]
) -> None:
    if min(patients, controls, seed) < 0 or patients + controls == 0:
        raise InputError(
            f"phantoms: patients={patients}, controls={controls}, seed={seed}; expected one subject or more and no "
            "negative number"
        )
    if not 0.5 <= spacing <= 6:
        raise InputError(f"phantoms: spacing is {spacing} mm; expected 0.5 to 6 mm")
    if min(splits) < 0 or not np.isclose(sum(splits), 1):
        raise InputError(
            f"phantoms: splits are {splits}; expected shares of train, val and test that sum to 1"
        )


def _holds(out: Path, description: dict[str, Any]) -> bool:
    """Whether `out` is this very data set already.

    Raises:
        InputError: it is something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        if json.loads((out / "dataset_description.json").read_text(encoding="utf-8")) == description:
            return True
    except (OSError, ValueError):
        pass
    raise InputError(
        f"{out}: exists and is not the phantom data set asked for; give another folder or remove this one"
    )


def _subjects(
    patients: int, controls: int, seed: int, splits: tuple[float, float, float]
) -> Iterator[tuple[Literal["patient", "control"], int, Split]]:
    """Group, number (from 1) and split of every subject."""
    counts: dict[Literal["patient", "control"], int] = {"patient": patients, "control": controls}
    for group, count in counts.items():
        rng = np.random.default_rng([seed, len(group), count])
        for number, split in enumerate(rng.permutation(split_of(count, splits)), start=1):
            yield group, number, split


def split_of(count: int, shares: tuple[float, float, float]) -> list[Split]:
    """`count` splits in these shares, rounded; of three subjects or more each share above 0 gets one at least."""
    ends = np.rint(np.cumsum(shares) * count).astype(int)
    sizes = np.diff(ends, prepend=0)
    while count >= 3 and any(size == 0 < share for size, share in zip(sizes, shares, strict=True)):
        sizes[sizes.argmax()] -= 1
        sizes[next(i for i, share in enumerate(shares) if sizes[i] == 0 < share)] += 1
    return [split for split, size in zip(SPLITS, sizes, strict=True) for _ in range(size)]


def _write_cohort(
    root: Path,
    subjects: list[tuple[Literal["patient", "control"], int, Split]],
    seed: int,
    spacing: float,
    progress: Progress | None,
) -> None:
    rows = []
    for done, (group, number, split) in enumerate(subjects):
        label = f"sub-{group[0].upper()}{number:03d}"
        if progress:
            progress(done, len(subjects), label)
        made = phantom(group, number, seed=seed, spacing=spacing)
        _write_subject(root, label, made, spacing)
        millilitres = made.mask.sum() * spacing**3 / 1000
        rows.append(
            (label, group, split, made.lesions, f"{millilitres:.2f}", "yes" if made.mass_effect else "no")
        )
    lines = ["\t".join(str(value) for value in row) for row in (_COLUMNS, *rows)]
    (root / "participants.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "README").write_text(_README, encoding="utf-8")
    for name, title in (
        ("lesions", "lesion masks of phantoms"),
        ("healthy", "phantoms without their lesions"),
    ):
        linked = _description(title, "derivative", "drawn with the images") | {
            "DatasetLinks": {"raw": "../.."}
        }
        _write_json(root / "derivatives" / name / "dataset_description.json", linked)
    if progress:
        progress(len(subjects), len(subjects), "")


def _write_subject(root: Path, label: str, made: Phantom, spacing: float) -> None:
    name = f"{label}/anat/{label}"
    source = f"bids:raw:{name}_FLAIR.nii.gz"
    _write_image(root / f"{name}_FLAIR", made.image, spacing, {"Modality": "MR", "SkullStripped": True})
    _write_image(
        root / f"derivatives/lesions/{name}_label-lesion_mask",
        made.mask.astype(np.uint8),
        spacing,
        {"Type": "Lesion", "Manual": False, "SpatialReference": source},
    )
    _write_image(
        root / f"derivatives/healthy/{name}_desc-healthy_FLAIR",
        made.truth,
        spacing,
        {"SkullStripped": True, "SpatialReference": source},
    )


def _write_image(stem: Path, data: NDArray[Any], spacing: float, sidecar: dict[str, Any]) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    affine = Frame(spacing).affine
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    nib.save(image, stem.with_name(stem.name + ".nii.gz"))
    _write_json(stem.with_name(stem.name + ".json"), sidecar)


def _description(name: str, kind: Literal["raw", "derivative"], recipe: str) -> dict[str, Any]:
    return {
        "Name": name,
        "BIDSVersion": "1.11.1",
        "DatasetType": kind,
        "License": "see README",
        "GeneratedBy": [{"Name": "pseudohealthy", "Version": __version__, "Description": recipe}],
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
