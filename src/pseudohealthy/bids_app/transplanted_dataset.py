"""Images with transplanted lesions as a BIDS data set, which `prepare` and other programs can train on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from pseudohealthy import __version__
from pseudohealthy.bids_app.output_dataset import BIDS_VERSION, DESCRIPTION
from pseudohealthy.data.layouts.participants import GROUP, ID, SPLIT, TABLE, read_participants
from pseudohealthy.errors import RESEARCH_USE, InputError, printable
from pseudohealthy.files import make_folder, read_tsv, write_json, write_text, write_tsv
from pseudohealthy.json_files import read_json
from pseudohealthy.synthesis.output_files import output_stem
from pseudohealthy.synthesis.transplanted_files import Output, entity_of

NAME = "Healthy images with transplanted lesions"
DERIVED = 3  # folders above a subject's: the data set, or DATA_SET/derivatives/NAME
README = f"""# {NAME}

Made by pseudohealthy {__version__}. Of each subject:

- `*_desc-transplanted_FLAIR.nii.gz`: a scan with a lesion that a network put into it
- `*_label-lesion_desc-transplanted_mask.nii.gz`: where that lesion is, exactly
- the JSON beside them: seed, weights, where the mask comes from, its volume

Several lesions in one scan are sessions of one subject, so that no program that splits by subject parts them.
`participants.tsv` has the split of the scans' own data set, where that has one.

{RESEARCH_USE}
"""


def planned(images: Sequence[Path], out: Path, count: int) -> list[Output]:
    """Where each image's lesions go: `sub-01/[ses-1/]anat/`, or `sub-01/ses-[1]lesion2/anat/` of several.

    Raises:
        InputError: two images of one subject and session, or a name without letters and digits.
    """
    whose: dict[tuple[str, str], Path] = {}
    outputs = []
    for image in images:
        key = _subject(image), entity_of(image, "ses") or ""
        if key in whose:
            raise InputError(
                f"{image} and {whose[key]} are both of {'_'.join(filter(None, key))}; expected one image a "
                "subject and session, so leave one out"
            )
        whose[key] = image
        for number in range(1, count + 1):
            session = key[1] + (f"lesion{number}" if count > 1 else "")
            labels = [f"sub-{key[0]}", *([f"ses-{session}"] if session else [])]
            outputs.append(Output(image, number, out.joinpath(*labels, "anat"), "_".join(labels)))
    return outputs


def check_place(out: Path, *, bids: bool) -> None:
    """See to it that no data set is mixed with another.

    Args:
        out: where files are to go.
        bids: whether they are to be a data set.

    Raises:
        InputError: `out` lies inside a data set, whose readers would take the masks for those of its own
            scans; or a data set is to go where something else is.
    """
    above = (*out.absolute().parents, *Path(os.path.realpath(out)).parents)  # a link may lead into one
    around = next(filter(_is_data_set, above), None)
    if around is not None:
        raise InputError(
            f"--out {out}: lies inside the data set {around}, where the masks would be taken for its own "
            "scans'; choose a folder outside"
        )
    if not bids or not out.exists() or all(path.name.startswith(".") for path in out.iterdir()):
        return
    try:
        ours = read_json(out / DESCRIPTION).get("Name") == NAME
    except InputError:
        ours = False
    if not ours:
        raise InputError(
            f"--out {out}: holds something else; expected an empty folder or a data set of this command, so "
            "choose another"
        )


def describe(out: Path) -> None:
    """Write what makes `out` a BIDS derivative: description, what `desc-transplanted` means, README."""
    make_folder(out)
    makers = [{"Name": "pseudohealthy", "Version": __version__, "Description": RESEARCH_USE}]
    write_json(
        out / DESCRIPTION,
        {
            "Name": NAME,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "License": "that of the images",
            "GeneratedBy": makers,
        },
    )
    meaning = "a lesion was put into the scan by a network; of masks: where it is"
    write_text(out / "descriptions.tsv", f"desc_id\tdescription\ndesc-transplanted\t{meaning}\n")
    write_text(out / "README.md", README)


def participants_with(out: Path, images: Iterable[Path]) -> pd.DataFrame:
    """The rows of `participants.tsv` as they are, and those of the images' subjects, all patients.

    The split is that of the scans' own data set, where that has one.

    Returns:
        By `participant_id`, in its order, as text; with a column of splits where any has one.

    Raises:
        InputError: the table, or a `participants.tsv` of the scans, cannot be read.
    """
    table = _participants(out)
    for image in dict.fromkeys(images):
        name, split = f"sub-{_subject(image)}", _split(image)
        if name not in table.index:
            table.loc[name, GROUP] = "patient"
        if split:
            table.loc[name, SPLIT] = split
    return table.sort_index().rename_axis(ID)


def write_participants(out: Path, table: pd.DataFrame) -> None:
    """Write `participants.tsv`, as `participants_with` gives it; without subjects there is none."""
    if len(table):
        write_tsv(out / TABLE, table)
    else:
        (out / TABLE).unlink(missing_ok=True)


def drop_without_data(out: Path, outputs: Iterable[Output]) -> None:
    """Take the subjects of whom no image is there out of `participants.tsv`.

    Args:
        out: the data set.
        outputs: whose subjects are looked at.
    """
    names = dict.fromkeys(output.begin.partition("_")[0] for output in outputs)
    without = [name for name in names if not _any_matches(out / name, ("anat/*.nii*", "ses-*/anat/*.nii*"))]
    if without:
        write_participants(out, _participants(out).drop(index=without, errors="ignore"))


def _participants(out: Path) -> pd.DataFrame:
    """All columns of `participants.tsv` as text; of a new data set, none.

    Raises:
        InputError: it cannot be read.
    """
    path = out / TABLE
    if not path.exists():
        return pd.DataFrame(columns=[GROUP], index=pd.Index([], name=ID), dtype=str)
    try:
        table = read_tsv(path, index=ID, text=None)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as a table ({reason}); mend or remove it") from error
    if table.index.hasnans or table.index.has_duplicates:
        raise InputError(f"{path}: expected one row a subject, each with its {ID}; mend or remove it")
    return table


def _is_data_set(folder: Path) -> bool:
    return _any_matches(folder, (DESCRIPTION, "sub-*/anat", "sub-*/ses-*/anat"))


def _any_matches(folder: Path, patterns: Iterable[str]) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in patterns)


def _subject(image: Path) -> str:
    """The label of the subject, of letters and digits."""
    label = entity_of(image, "sub") or re.sub(r"[^a-zA-Z0-9]", "", output_stem(printable(image.name)))
    if not label:
        raise InputError(f"{image}: has no letters or digits in its name to call a subject by; rename it")
    return label


def _split(image: Path) -> str | None:
    """The image's split in the `participants.tsv` of its own data set, or of the one it was derived from.

    None where neither has one.
    """
    folders = [folder for folder in image.absolute().parents if folder.name.startswith("sub-")]
    subject = _subject(image)
    for root in list(folders[-1].parents)[:DERIVED] if folders else ():
        if split := read_participants(root, {subject}, with_groups=False).splits.get(subject):
            return split
    return None
