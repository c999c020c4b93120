"""The embedded data set: a cohort of synthetic patients and controls, each with its true healthy image."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from pseudohealthy import __version__
from pseudohealthy.config import LARGEST_SEED, MOST_PHANTOMS, Split
from pseudohealthy.data.layouts import CohortVolume
from pseudohealthy.data.split import with_splits
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.files import whole_folder
from pseudohealthy.json_files import read_json
from pseudohealthy.phantom.anatomy import template
from pseudohealthy.phantom.fields import Frame
from pseudohealthy.phantom.subject import Group, Phantom, phantom

Progress = Callable[[int, int, str], None]

_COLUMNS = ("participant_id", "group", "split", "lesions", "lesion_ml", "mass_effect")
_README = f"""Synthetic FLAIR images of brains with and without lesions. Nobody was scanned.

The anatomy is that of the ICBM152 2009a template (MNI152, 1 mm) as it comes with nilearn, deformed and
given new contrast for every subject; the lesions are drawn. `derivatives/healthy` holds what each brain
looks like without its lesions, `derivatives/lesions` the masks of the lesions (core and oedema).

Template: Fonov et al., NeuroImage 54 (2011) 313-327; Fonov et al., NeuroImage 47 (2009) S102; Collins et
al., ANIMAL+INSECT, IPMI 1999, 210-223. nilearn states no licence for it; the template's authors give
this notice: Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological
Institute, McGill University. Permission to use, copy, modify, and distribute this software and its
documentation for any purpose and without fee is hereby granted, provided that the above copyright notice
appear in all copies. The authors and McGill University make no representations about the suitability of
this software for any purpose. It is provided "as is" without express or implied warranty. The authors
are not responsible for any data loss, equipment damage, property loss, or injury to subjects or patients
resulting from the use or misuse of this software package.

{RESEARCH_USE}
"""


@dataclass(frozen=True)
class Subject:
    """Who is made: the `number`-th (from 1) of a group, and where it belongs."""

    group: Group
    number: int
    split: Split | None = None

    @property
    def label(self) -> str:
        """The name in the data set: sub-P001, sub-C001."""
        return f"sub-{self.group[0].upper()}{self.number:03d}"


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

    Images are skull-stripped FLAIR, int16, RAS, isotropic voxels of `spacing` mm. `participants.tsv` fixes
    the split: shares of training, validation and test subjects of each group. A folder that already holds
    exactly this data set is left as it is. `progress` is called with how many are done, of
    how many, and whose turn it is.

    Raises:
        InputError: `out` holds something else, a value is out of range, or nilearn is not installed.
    """
    _check(patients, controls, seed, spacing)
    recipe = (
        f"patients={patients}, controls={controls}, seed={seed}, spacing={spacing:g} mm, "
        f"splits={'/'.join(f'{share:g}' for share in splits)}"
    )
    description = _description("pseudohealthy phantoms", "raw", recipe)
    subjects = _subjects(patients, controls, seed, splits)
    if _holds(out, description, subjects):
        return out
    template(spacing)  # a missing nilearn is reported before anything is written
    with whole_folder(out) as part:
        _write_cohort(part, subjects, seed, spacing, progress)
        _write_json(part / "dataset_description.json", description)
    return out


def _subjects(patients: int, controls: int, seed: int, shares: tuple[float, float, float]) -> list[Subject]:
    counts: dict[Group, int] = {"patient": patients, "control": controls}
    unsplit = [Subject(group, number) for group, count in counts.items() for number in range(1, count + 1)]
    volumes = [
        CohortVolume(s.label, s.group, None, None, None, None, source="phantom", session=None, folder=Path())
        for s in unsplit
    ]
    splits = {volume.subject: volume.split for volume in with_splits(volumes, shares, seed)}
    return [replace(subject, split=splits[subject.label]) for subject in unsplit]


def _check(patients: int, controls: int, seed: int, spacing: float) -> None:
    if min(patients, controls, seed) < 0 or patients + controls == 0:
        raise InputError(
            f"phantoms: patients={patients}, controls={controls}, seed={seed}; expected one subject or more "
            "and no negative number"
        )
    if max(patients, controls) > MOST_PHANTOMS or seed > LARGEST_SEED:
        raise InputError(
            f"phantoms: patients={patients}, controls={controls}, seed={seed}; expected at most "
            f"{MOST_PHANTOMS} of each, and a seed below 2^32"
        )
    if not 0.5 <= spacing <= 6:
        raise InputError(f"phantoms: spacing is {spacing} mm; expected 0.5 to 6 mm")


def _holds(out: Path, description: dict[str, Any], subjects: list[Subject]) -> bool:
    """Whether `out` is this very data set already.

    Raises:
        InputError: it is something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        same = read_json(out / "dataset_description.json") == description
    except InputError:
        same = False
    if same and all((out / path).is_file() for subject in subjects for path in _images(subject.label)):
        return True
    raise InputError(
        f"{out}: exists and is not the requested phantom data set; give another folder or remove this one"
    )


def _images(label: str) -> tuple[str, str, str]:
    """Where a subject's image, mask and healthy truth lie in the data set."""
    name = f"{label}/anat/{label}"
    return (
        f"{name}_FLAIR.nii.gz",
        f"derivatives/lesions/{name}_label-lesion_mask.nii.gz",
        f"derivatives/healthy/{name}_desc-healthy_FLAIR.nii.gz",
    )


def _write_cohort(
    root: Path, subjects: list[Subject], seed: int, spacing: float, progress: Progress | None
) -> None:
    rows: list[tuple[object, ...]] = [_COLUMNS]
    for done, subject in enumerate(subjects):
        if progress:
            progress(done, len(subjects), subject.label)
        made = phantom(subject.group, subject.number, seed=seed, spacing=spacing)
        _write_subject(root, subject.label, made, spacing)
        volume = f"{made.mask.sum() * spacing**3 / 1000:.2f}"
        pushed = "yes" if made.mass_effect else "no"
        rows.append((subject.label, subject.group, subject.split, made.lesions, volume, pushed))
    table = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    (root / "participants.tsv").write_text(table, encoding="utf-8")
    (root / "README").write_text(_README, encoding="utf-8")
    for name, title in (("lesions", "lesion masks of phantoms"), ("healthy", "phantoms without lesions")):
        about = _description(title, "derivative", "made with the images") | {"DatasetLinks": {"raw": "../.."}}
        _write_json(root / "derivatives" / name / "dataset_description.json", about)
    if progress:
        progress(len(subjects), len(subjects), "")


def _write_subject(root: Path, label: str, made: Phantom, spacing: float) -> None:
    image, mask, truth = _images(label)
    reference = {"SpatialReference": f"bids:raw:{image}"}
    _write_image(root / image, made.image, spacing, {"Modality": "MR", "SkullStripped": True})
    _write_image(
        root / mask, made.mask.astype(np.uint8), spacing, {"Type": "Lesion", "Manual": False, **reference}
    )
    _write_image(root / truth, made.truth, spacing, {"SkullStripped": True, **reference})


def _write_image(path: Path, data: NDArray[Any], spacing: float, sidecar: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = Frame(spacing).affine
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    nib.save(image, path)
    _write_json(path.with_name(path.name.replace(".nii.gz", ".json")), sidecar)


def _description(name: str, kind: Literal["raw", "derivative"], recipe: str) -> dict[str, Any]:
    return {
        "Name": name,
        "BIDSVersion": "1.11.1",
        "DatasetType": kind,
        "License": "see README",
        "GeneratedBy": [{"Name": "pseudohealthy", "Version": __version__, "Description": recipe}],
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
