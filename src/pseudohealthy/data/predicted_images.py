"""Images that any program made of a cohort's volumes, as slices that lie as the cohort's own do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.config import Preprocessing
from pseudohealthy.data.layouts import CohortVolume, grouped, listed, nifti_files, stem
from pseudohealthy.data.prepared import Prepared, VolumeRecord, input_record
from pseudohealthy.data.volume_slices import VolumeSlices
from pseudohealthy.errors import InputError, printable
from pseudohealthy.files import inside

NO_IMAGE = re.compile(r"[_-](mask|probseg|dseg|segm?)$|desc-difference", re.IGNORECASE)
MODALITY = re.compile(r"[_-](flair|t2f)$", re.IGNORECASE)
OTHER_UNITS = 10.0  # times darker than its image no pseudo-healthy brain is, in the median

Key = tuple[str, str]  # subject, session as in the table of slices


def read_outputs(
    prepared: Prepared, table: pd.DataFrame, predictions: Path, folders: Sequence[Path]
) -> NDArray[np.float32]:
    """Another program's images in the field of the cohort's slices and on the scale of their inputs.

    The scale is that of the volume an output was made from: one that no longer holds the bright lesion has
    a lower V99.5 of its own.

    Args:
        prepared: the cohort.
        table: those rows of `prepared.slices` that are wanted.
        predictions: a NIfTI image for each volume of `table`, anywhere inside, on the volume's own grid and
            in its intensity units. Its name begins with the subject (`01`, `sub-01`), and the session where
            there are several (`sub-01_ses-2`), or with the input's name. Masks (`_mask`, `_probseg`,
            `_dseg`, `_seg`) and `desc-difference` are left out.
        folders: the data sets that the cohort was prepared from.

    Returns:
        (N, H, W) in [0, 1], a slice for each row of `table`, in its order.

    Raises:
        InputError: an image that is missing, ambiguous or cannot be used; an input that is missing, or is
            no longer the one that the cohort was prepared from.
    """
    records = {
        _key(record): record for record in prepared.manifest["volumes"] if record["group"] != "library"
    }
    keys = list(zip(table["subject"], table["session"], strict=True))
    wanted = list(dict.fromkeys(keys))
    files = _files(predictions, wanted, records)
    originals = [_original(records[key], folders) for key in wanted]
    outputs = np.empty((len(table), *prepared.images.shape[1:]), dtype=np.float32)
    for key, original in zip(wanted, originals, strict=True):
        rows = [row for row, of_row in enumerate(keys) if of_row == key]
        outputs[rows] = _canonical(original, files[key], prepared.preprocessing)[table["z"].to_numpy()[rows]]
    return outputs


def _key(record: VolumeRecord) -> Key:
    return record["subject"], record["session"] or "n/a"


def _canonical(original: CohortVolume, output: Path, settings: Preprocessing) -> NDArray[np.float32]:
    """(Z, H, W) of an output, which lies and is scaled as a phantom's truth: by the image it belongs to."""
    stack = VolumeSlices.of(replace(original, truth=output), settings)
    image, made = stack.stored["images"], stack.stored["truth"]
    before, after = (float(np.median(data[image > 0])) for data in (image, made))
    # A file on another scale would be clipped to black or to white, and get a score all the same.
    if after <= before / OTHER_UNITS or after == 1 > before:
        raise InputError(
            f"{output}: expected the intensity units of {original.image}; on that scale its brain has the "
            f"median {after:.2g}, and the image {before:.2g}"
        )
    return stack.grid.to_canonical(made)


def _original(record: VolumeRecord, folders: Sequence[Path]) -> CohortVolume:
    """The volume whose image the cohort was prepared from, without its mask.

    Raises:
        InputError: none of the folders has it, or what they have is another one; or the cohort names a file
            outside them.
    """
    wanted = record["inputs"]["image"]
    there = [folder for folder in folders if inside(folder, wanted["path"]).is_file()]
    for folder in there:
        volume = CohortVolume(
            subject=record["subject"],
            group=record["group"],
            image=inside(folder, wanted["path"]),
            mask=None,
            truth=None,
            split=record["split"],
            source=record["source"],
            session=record["session"],
            folder=folder,
        )
        if input_record(volume)["inputs"]["image"] == wanted:
            return volume
    if there:
        raise InputError(
            f"{there[0] / wanted['path']}: not the file that the cohort was prepared from (other SHA-256); "
            "give the data set as it was, or prepare the cohort again"
        )
    raise InputError(
        f"no {wanted['path']} in {listed(folders) or 'no folder of data'}; expected the data set "
        f"{record['source']} that the cohort was prepared from"
    )


def _files(predictions: Path, wanted: Sequence[Key], records: Mapping[Key, VolumeRecord]) -> dict[Key, Path]:
    """The one image of each wanted volume.

    Raises:
        InputError: no such folder, or volumes with no image or with several.
    """
    if not predictions.is_dir():
        raise InputError(f"{predictions}: no such folder; expected one with a NIfTI image for each volume")
    begins = _beginnings(records)
    images = [path for path in nifti_files(predictions, "**/*.nii*") if not NO_IMAGE.search(stem(path))]
    by_volume = grouped(images, lambda path: _owner(printable(stem(path)), begins))
    if missing := [key for key in wanted if key not in by_volume]:
        names = " or ".join(f"{begin}*.nii[.gz]" for begin, key in begins.items() if key == missing[0])
        raise InputError(
            f"{predictions}: no image for {len(missing)} of {len(wanted)} volumes: "
            f"{listed(_named(key) for key in missing)}; looked for {names} and the like among {len(images)} "
            "images (_mask, _probseg, _dseg, _seg and desc-difference are none)"
        )
    if several := [key for key in wanted if len(by_volume[key]) > 1]:
        paths = [path.relative_to(predictions) for path in by_volume[several[0]]]
        raise InputError(
            f"{predictions}: {len(paths)} images for {_named(several[0])}, expected one: {listed(paths)}; "
            "give a folder with the outputs alone"
        )
    return {key: by_volume[key][0] for key in wanted}


def _named(key: Key) -> str:
    return key[0] if key[1] == "n/a" else f"{key[0]} session {key[1]}"


def _beginnings(records: Mapping[Key, VolumeRecord]) -> dict[str, Key]:
    """Whose file it is by how its name begins, as far as that tells one volume from all others."""
    volumes = Counter(subject for subject, _ in records)
    pairs = [
        (name, key)
        for key, record in records.items()
        for name in dict.fromkeys(_names(record, alone=volumes[key[0]] == 1))
    ]
    times = Counter(name for name, _ in pairs)
    return {name: key for name, key in pairs if times[name] == 1}


def _names(record: VolumeRecord, *, alone: bool) -> list[str]:
    """What files made from a volume may be called after; `alone`: the subject has no other volume."""
    subject, session = record["subject"], record["session"]
    image = MODALITY.sub("", printable(stem(Path(record["inputs"]["image"]["path"]))))
    if alone:
        return [subject, f"sub-{subject}", image]
    return [f"{subject}_ses-{session}", f"sub-{subject}_ses-{session}", image]


def _owner(name: str, begins: Mapping[str, Key]) -> Key | None:
    """The volume of the longest beginning that ends where a word does: `1_10.nii` is not of case `1_1`."""
    fitting = [b for b in begins if name.startswith(b) and not name[len(b) : len(b) + 1].isalnum()]
    return begins[max(fitting, key=len)] if fitting else None
