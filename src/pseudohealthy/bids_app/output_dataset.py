"""The folder of BIDS derivatives that a data set's outputs go to: where it may be, and what describes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pseudohealthy import __version__
from pseudohealthy.errors import RESEARCH_USE, InputError, printable
from pseudohealthy.files import make_folder, write_json, write_text
from pseudohealthy.json_files import read_json

BIDS_VERSION = "1.11.1"
RAW = "raw"  # the name of the data set in `Sources`: bids:raw:sub-01/anat/...
DESCRIPTION = "dataset_description.json"
DESCRIPTIONS = {
    "desc-pseudohealthy": "the image as if healthy; of masks and probabilities: where the disease is",
    "desc-blend": "the input, of which only the lesion was replaced by the image as if healthy",
    "desc-difference": "the image as if healthy minus the input",
    "desc-uncertainty": "half-width of the 68 % interval around the image as if healthy",
}
BESIDE_DESCRIPTION = ("descriptions.tsv", "README.md", ".bidsignore")
NOT_BIDS = ("/logs", "/group_*", "*_panel.png", "*_report.json", "*_report.html")
README = f"""# Images as if healthy

Made by pseudohealthy {__version__} of the FLAIR images of the data set that `{DESCRIPTION}` links to.
Of each image:

- `*_desc-pseudohealthy_FLAIR.nii.gz`: the same person's image as if healthy, on the input's grid and in its
  units
- `*_desc-blend_FLAIR.nii.gz` (only with `--blend`): the input, of which only the lesion was replaced
- `*_desc-difference_FLAIR.nii.gz`: as if healthy, minus the input
- `*_desc-uncertainty_FLAIR.nii.gz` (only with `--uncertainty`): how far the image as if healthy may be off,
  in the input's units
- `*_label-lesion_desc-pseudohealthy_probseg.nii.gz`, `_mask.nii.gz`: where the disease is
- `*_report.html`: a page to look at it; `*_panel.png`: a few slices; `*_report.json`: how it was made

`logs/status.tsv` says what became of each image. `group_lesions.tsv` and `group_report.html` come from the
level `group`.

{RESEARCH_USE}
"""


def check_place(bids: Path, out: Path) -> None:
    """Make sure that `out` may be written to.

    Raises:
        InputError: it is a file, lies in `bids` other than under its `derivatives/`, or holds something else
            than what this program made of `bids`.
    """
    inside, around = out.resolve(), bids.resolve()
    if inside == around or (around in inside.parents and not _is_derivative(inside.relative_to(around))):
        raise InputError(
            f"OUT_DIR {out}: lies inside the data set, which is never written to; expected a folder outside "
            f"it or {bids}/derivatives/NAME"
        )
    nearest = next(path for path in (inside, *inside.parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"OUT_DIR {out}: {nearest} is a file; expected a folder, so choose another")
    if (inside / DESCRIPTION).exists():
        _check_ours(inside, _link(bids, out))
    elif inside.exists() and (theirs := _in_our_place(inside)):
        raise InputError(
            f"OUT_DIR {out}: holds {printable(theirs)} but no {DESCRIPTION}, so this program did not make "
            "it; expected an empty folder, so choose another"
        )


def describe(bids: Path, out: Path) -> None:
    """Write what makes `out` a BIDS derivative: description, what `desc-` means, README, `.bidsignore`.

    Several machines may do so at once: each file is whole, and the same whoever writes it.

    Raises:
        PseudohealthyError: it cannot be written.
    """
    make_folder(out)
    write_json(out / DESCRIPTION, _description(bids, out))
    lines = ["desc_id\tdescription", *("\t".join(pair) for pair in DESCRIPTIONS.items())]
    texts = ("\n".join(lines) + "\n", README, "\n".join(NOT_BIDS) + "\n")
    for name, text in zip(BESIDE_DESCRIPTION, texts, strict=True):
        write_text(out / name, text)


def uri(image: str) -> str:
    """A path in the data set as a BIDS URI."""
    return f"bids:{RAW}:{image}"


def _in_our_place(folder: Path) -> str | None:
    """The name of something in a folder that a data set would take the place of, or be mixed with."""
    names = sorted(path.name for path in folder.iterdir())
    return next((name for name in names if name in BESIDE_DESCRIPTION or name.startswith("sub-")), None)


def _is_derivative(inside: Path) -> bool:
    return len(inside.parts) > 1 and inside.parts[0] == "derivatives"


def _description(bids: Path, out: Path) -> dict[str, Any]:
    link = _link(bids, out)
    raw = _read(bids / DESCRIPTION)
    source = {"URL": link, **({"DOI": raw["DatasetDOI"]} if raw.get("DatasetDOI") else {})}
    return {
        "Name": f"Images as if healthy of {raw.get('Name') or printable(bids.resolve().name)}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": f"that of the images; see {link}",
        "GeneratedBy": [{"Name": "pseudohealthy", "Version": __version__, "Description": RESEARCH_USE}],
        "SourceDatasets": [source],
        "DatasetLinks": {RAW: link},
    }


def _link(bids: Path, out: Path) -> str:
    """From `out` to the data set; relative, so that both may move together and no home folder is named."""
    return printable(Path(os.path.relpath(bids.resolve(), out.resolve())).as_posix())


def _check_ours(out: Path, link: str) -> None:
    description = _read(out / DESCRIPTION)
    makers = description.get("GeneratedBy")
    names = (
        [maker.get("Name") for maker in makers if isinstance(maker, dict)] if isinstance(makers, list) else []
    )
    if "pseudohealthy" not in names:
        raise InputError(
            f"OUT_DIR {out}: holds a data set of {', '.join(map(str, names)) or 'unknown origin'}; "
            "expected an empty folder or one that this program made, so choose another"
        )
    links = description.get("DatasetLinks")
    if (before := links.get(RAW) if isinstance(links, dict) else None) != link:
        raise InputError(
            f"OUT_DIR {out}: was made of the data set {before}, not of {link}; choose another folder (if "
            f"the data set has moved, correct DatasetLinks in its {DESCRIPTION})"
        )


def _read(path: Path) -> dict[str, Any]:
    """A description; empty where there is none, or not a sound one."""
    try:
        return read_json(path)
    except InputError:
        return {}
