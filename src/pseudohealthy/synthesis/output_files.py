"""The files that are made of an image: their names, what their sidecars say, and which may be replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pseudohealthy import files
from pseudohealthy.data.layouts import stem
from pseudohealthy.dicom.folder import expect_ours
from pseudohealthy.errors import RESEARCH_USE, InputError, printable
from pseudohealthy.json_files import read_json
from pseudohealthy.synthesis.calibration import NEAR_MM, NEAR_PROBABILITY

DESCRIPTIONS = {
    "healthy": "The input as if healthy, in its intensity units; outside the brain it is the input.",
    "blended": "The input, of which only the lesion and a few mm around it were replaced, as if healthy.",
    "difference": "The image as if healthy minus the input, in the input's intensity units.",
    "uncertainty": "Half-width of the 68 % interval around the image as if healthy, in the input's intensity "
    "units.",
    "probability": "Probability of disease, 0 to 1.",
    "mask": "Disease: probability above 0.5.",
}
ZONES = (
    f"lesion: in the lesion mask; near: at most {NEAR_MM:g} mm, in its slice, from a probability of disease "
    f"above {NEAR_PROBABILITY:g}; elsewhere: all other brain. In a zone the half-width of the 95 % interval "
    "is RatioTo95 times this one."
)
MAPS = ("probability", "mask")
LONGEST = 255  # bytes of a name that file systems take


def output_stem(name: str) -> str:
    """What all files that are made of an image of this name begin with.

    Its suffix and extension are left out, and so is its `desc-`, in whose place the outputs have their own.
    """
    begin = re.sub(r"(_flair)?(\.nii(\.gz)?|\.hdr|\.img)?$", "", name, flags=re.IGNORECASE)
    return "_".join(part for part in begin.split("_") if not re.fullmatch(r"desc-[^_]*", part)) or begin


def output_files(
    out: Path, name: str, *, blend: bool = False, uncertainty: bool = False, page: bool = True
) -> dict[str, Path]:
    """The files that `Synthesis.save` writes for an input of this name, by what they are.

    Without `page` there is neither panel nor page.
    """
    begin = output_stem(name)
    # An input in another space stays there
    placed = "" if re.search(r"(^|_)space-", begin) else "_space-orig"
    return {
        "healthy": out / f"{begin}_desc-pseudohealthy_FLAIR.nii.gz",
        **({"blended": out / f"{begin}_desc-blend_FLAIR.nii.gz"} if blend else {}),
        "difference": out / f"{begin}_desc-difference_FLAIR.nii.gz",
        **({"uncertainty": out / f"{begin}_desc-uncertainty_FLAIR.nii.gz"} if uncertainty else {}),
        "probability": out / f"{begin}{placed}_label-lesion_desc-pseudohealthy_probseg.nii.gz",
        "mask": out / f"{begin}{placed}_label-lesion_desc-pseudohealthy_mask.nii.gz",
        **({"panel": out / f"{begin}_desc-pseudohealthy_panel.png"} if page else {}),
        "report": out / f"{begin}_desc-pseudohealthy_report.json",
        **({"page": out / f"{begin}_desc-pseudohealthy_report.html"} if page else {}),
    }


def dicom_folder(out: Path, name: str) -> Path:
    """Where the DICOM files lie that are made of an input of this name."""
    return out / f"{output_stem(name)}_desc-pseudohealthy_dicom"


def sidecar_path(image: Path) -> Path:
    """Where an image's sidecar lies."""
    return image.with_name(image.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def with_sidecars(files: Mapping[str, Path]) -> dict[str, Path]:
    """The files, and the JSON beside each volume as `KIND_sidecar`."""
    sidecars = {f"{kind}_sidecar": sidecar_path(path) for kind, path in files.items() if kind in DESCRIPTIONS}
    return {**files, **sidecars}


def sidecar(
    kind: str, sources: Mapping[str, str], ratios: Mapping[str, float] | None = None, *, stripped: bool
) -> dict[str, Any]:
    """What an image's sidecar says.

    Args:
        kind: as in `DESCRIPTIONS`.
        sources: BIDS URIs or file names of `image`, `brain_mask` and `lesion_mask`, those that were used.
        ratios: of the uncertainty, by how much the 95 % interval is wider, by zone of the lesion map.
        stripped: whether the input came without its skull; voxels outside the brain are the input's.
    """
    used = ["image", "brain_mask", *(["lesion_mask"] if kind == "blended" else [])]
    facts: dict[str, Any] = {
        "Description": f"{DESCRIPTIONS[kind]} {RESEARCH_USE}",
        "Sources": [sources[name] for name in used if name in sources],
    }
    if kind in MAPS:
        return {**facts, "Type": "Lesion", "SpatialReference": sources["image"]}
    if kind == "uncertainty":
        facts |= {"IntervalLevel": 0.68, "RatioTo95": dict(ratios or {}), "Zones": ZONES}
    return {**facts, "SkullStripped": stripped}


def not_made_again(
    out: Path,
    name: str,
    *,
    blend: bool,
    uncertainty: bool = False,
    page: bool = True,
    dicom: bool = False,
) -> list[Path]:
    """What an earlier run on an input of this name made, and a run without it would leave beside its own.

    They are files, and the folder of DICOM files last.
    """
    made = with_sidecars(output_files(out, name, blend=blend, uncertainty=uncertainty, page=page))
    every = with_sidecars(output_files(out, name, blend=True, uncertainty=True))
    old = [path for kind, path in every.items() if kind not in made]
    return [path for path in (*old, *([] if dicom else [dicom_folder(out, name)])) if path.exists()]


def journal(out: Path, name: str) -> Path:
    """The file that is there while an input's files are put in their places, see `files.move_together`."""
    return out / f".{output_stem(name)}.unfinished"


def refuse_existing(out: Path, name: str, *, overwrite: bool, inputs: Iterable[Path | None] = ()) -> None:
    """See to it that an image's files, with all that may be requested, may be written.

    The folder of DICOM files, which comes before the report, may always be replaced where that is absent.

    Args:
        out: their folder.
        name: the input's.
        overwrite: whether those that are there may be replaced; what a killed run left unfinished always may.
        inputs: the files that they are made of, which are never replaced.

    Raises:
        InputError: a file, or a sidecar, is there and must not be replaced, the folder of DICOM files holds
            others than those made here, or a name would be too long.
    """
    every = with_sidecars(output_files(out, name, blend=True, uncertainty=True)).values()
    expect_short_names(name, every)
    expect_ours(dicom_folder(out, name))
    there = [path for path in every if path.exists()]
    for source in filter(None, inputs):
        if source.exists() and any(path.samefile(source) for path in there):
            raise InputError(f"{source}: would be replaced by what is made of it; choose another folder")
    ours = files.unfinished(journal(out, name))
    files.refuse_existing([path for path in there if path not in ours], overwrite=overwrite)


def expect_short_names(name: str, paths: Iterable[Path]) -> None:
    """Raise an `InputError` where files that are made of an input of this name would have too long a name."""
    longest = max(len(os.fsencode(path.name)) for path in paths)
    if longest > LONGEST:
        raise InputError(
            f"{name}: a file made of it would have a name of {longest} bytes; expected at most {LONGEST}, so "
            "give the image a shorter name"
        )


def refuse_another_s(out: Path, name: str) -> None:
    """See to it that files which may be replaced are those of an input of this name, but for its extension.

    Raises:
        InputError: the report that is there says that they were made of another, such as one with another
            `desc-`.
    """
    report = output_files(out, name)["report"]
    try:
        before = str(read_json(report)["input"])
    except (InputError, KeyError):
        return
    if before != "array" and stem(Path(before)) != stem(Path(printable(name))):
        raise InputError(
            f"{report}: was made of {before}, and the same name would be given to what is made of {name}; "
            "choose another folder"
        )
