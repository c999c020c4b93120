"""Under which names the files that are made of an image lie, and which of them may be replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pseudohealthy import files
from pseudohealthy.data.layouts import stem
from pseudohealthy.errors import InputError, printable
from pseudohealthy.json_files import read_json
from pseudohealthy.synthesis.sidecars import DESCRIPTIONS, beside

LONGEST = 255  # bytes of a name that file systems take


def output_stem(name: str) -> str:
    """What all files that are made of an image of this name begin with.

    Its suffix and extension are left out, and so is its `desc-`, in whose place the outputs have their own.
    """
    begin = re.sub(r"(_flair)?(\.nii(\.gz)?|\.hdr|\.img)?$", "", name, flags=re.IGNORECASE)
    return "_".join(part for part in begin.split("_") if not re.fullmatch(r"desc-[^_]*", part)) or begin


def output_files(out: Path, name: str, *, blend: bool = False) -> dict[str, Path]:
    """The files that `Synthesis.save` writes for an input of this name, by what they are."""
    begin = output_stem(name)
    placed = (
        "" if re.search(r"(^|_)space-", begin) else "_space-orig"
    )  # an input in another space stays there
    return {
        "healthy": out / f"{begin}_desc-pseudohealthy_FLAIR.nii.gz",
        **({"blended": out / f"{begin}_desc-blend_FLAIR.nii.gz"} if blend else {}),
        "difference": out / f"{begin}_desc-difference_FLAIR.nii.gz",
        "probability": out / f"{begin}{placed}_label-lesion_desc-pseudohealthy_probseg.nii.gz",
        "mask": out / f"{begin}{placed}_label-lesion_desc-pseudohealthy_mask.nii.gz",
        "panel": out / f"{begin}_desc-pseudohealthy_panel.png",
        "report": out / f"{begin}_desc-pseudohealthy_report.json",
        "page": out / f"{begin}_desc-pseudohealthy_report.html",
    }


def with_sidecars(files: Mapping[str, Path]) -> dict[str, Path]:
    """The files, and the JSON beside each volume as `KIND_sidecar`."""
    sidecars = {f"{kind}_sidecar": beside(path) for kind, path in files.items() if kind in DESCRIPTIONS}
    return {**files, **sidecars}


def not_made_again(out: Path, name: str, *, blend: bool) -> list[Path]:
    """Files of an earlier run on an input of this name that a run without them would leave beside its own."""
    if blend:
        return []
    made, every = (with_sidecars(output_files(out, name, blend=each)) for each in (False, True))
    return [path for kind, path in every.items() if kind not in made and path.exists()]


def journal(out: Path, name: str) -> Path:
    """The file that is there while an input's files are put in their places, see `files.move_together`."""
    return out / f".{output_stem(name)}.unfinished"


def refuse_existing(out: Path, name: str, *, overwrite: bool, inputs: Iterable[Path | None] = ()) -> None:
    """See to it that an image's files, with or without the blend, may be written.

    Args:
        out: their folder.
        name: the input's.
        overwrite: whether those that are there may be replaced; what a killed run left unfinished always may.
        inputs: the files that they are made of, which are never replaced.

    Raises:
        InputError: a file, or a sidecar, is there and must not be replaced, or a name would be too long.
    """
    every = with_sidecars(output_files(out, name, blend=True)).values()
    longest = max((os.fsencode(path.name) for path in every), key=len)
    if len(longest) > LONGEST:
        raise InputError(
            f"{name}: a file made of it would have a name of {len(longest)} bytes; expected at most "
            f"{LONGEST}, so give the image a shorter name"
        )
    there = [path for path in every if path.exists()]
    for source in filter(None, inputs):
        if source.exists() and any(path.samefile(source) for path in there):
            raise InputError(f"{source}: would be replaced by what is made of it; choose another folder")
    ours = files.unfinished(journal(out, name))
    files.refuse_existing([path for path in there if path not in ours], overwrite=overwrite)


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
