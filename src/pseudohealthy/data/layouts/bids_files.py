"""The files of a BIDS data set by their names: whose they are, and which are lesion masks or only look so."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from pseudohealthy.data.layouts.base import (
    CohortVolume,
    Tree,
    count_of,
    grouped,
    is_nifti,
    listed,
    natural,
    stem,
    within,
)

IMAGE = re.compile(r"sub-[^/]*/(ses-[^/]*/)?anat/sub-[^/]*_FLAIR\.nii(\.gz)?")
TRUTH = re.compile(r"derivatives/.*sub-[^/]*_desc-healthy_FLAIR\.nii(\.gz)?")
LABELS = ("L", "lesion", "Lesion", "tumor")
LESION = frozenset(
    {"lesion", "lesions", "lesionmask", "tumor", "tumour", "tumors", "tumours", "tumormask", "tumourmask"}
)
HYPERINTENSITIES = frozenset({"wmh", "wmhs", "wmhmask"})
MASKS = frozenset({"mask", "roi", "seg", "dseg", "msk"})
ANATOMY = re.compile(
    r"brain(mask)?|gm|wm|csf|bg|ribbon|cortex|aseg|aparc\w*|hippocampus|ventricles|head|skull"
)
CONTRASTS = re.compile(r"flair|t[12](w|map|ce|star)?|dwi|adc|pdw|swi|bold|asl|cbf|angio")
OWN = "desc-pseudohealthy"  # this program's own output is nobody's mask
LOOKS_SO = re.compile(r"lesion|tumou?r|stroke|infarct|wmh|glioma", re.IGNORECASE)
PLACES = re.compile(r"(derivatives|sub-[^/]*|\.\./derivatives)/.*")  # where masks are looked for
EXPECTED = "sub-*_label-lesion_mask.nii.gz under derivatives/ or in the subject's folder"

Key = tuple[str, str | None]  # subject, session


class Kind(IntEnum):
    """What a file's name says of it; of a session's masks those of the lowest kind count."""

    LESION = 0  # the name of BIDS
    LESION_OTHERWISE = 1  # another name that says a lesion and a mask
    HYPERINTENSITIES = 2
    UNCLEAR = 3  # perhaps a lesion mask
    OTHER = 4


@dataclass(frozen=True)
class Masks:
    """Lesion masks by session, and what is to be said of them."""

    of: Mapping[Key, list[Path]]
    notes: tuple[str, ...] = ()


def from_root(path: Path, folder: Path) -> Path:
    """The path as seen from the data set's folder."""
    return Path(os.path.relpath(path, folder))


def fits(pattern: re.Pattern[str], path: Path, folder: Path) -> bool:
    """Whether it is a NIfTI file whose place in the data set is the pattern's."""
    return is_nifti(path) and pattern.fullmatch(from_root(path, folder).as_posix()) is not None


def entities_of(path: Path) -> dict[str, str]:
    """`sub-01_ses-2_label-L_mask` as `{"sub": "01", "ses": "2", "label": "L"}`."""
    pairs = (part.partition("-") for part in stem(path).split("_"))
    return {key: value for key, dash, value in pairs if dash}


def key_of(path: Path) -> Key:
    """Whose file it is by its name; a session that is not in the name is the folder's."""
    entities = entities_of(path)
    folders = [name.removeprefix("ses-") for name in path.parent.parts[-2:] if name.startswith("ses-")]
    return entities["sub"], entities.get("ses") or (folders[-1] if folders else None)


def owner_of(path: Path, folder: Path) -> str | None:
    """The subject in whose folder of the data set a file lies; None where it lies in none."""
    first = from_root(path, folder).parts[0]
    return first.removeprefix("sub-") if first.startswith("sub-") else None


def named(key: Key) -> str:
    """`sub-01 ses-2`."""
    return f"sub-{key[0]}" + (f" ses-{key[1]}" if key[1] else "")


def kind_of(path: Path) -> Kind:
    """What a volume's name says that it is, and where that is unclear its place in the data set.

    Args:
        path: as seen from the data set's folder.
    """
    parts = [part.partition("-") for part in path.name.partition(".")[0].split("_")]
    entities = {key: value for key, dash, value in parts if dash}
    words = {entities.get("label", "").lower(), entities.get("desc", "").lower()}
    words |= {key.lower() for key, dash, _ in parts if not dash}
    suffix, label = "" if parts[-1][1] else parts[-1][0].lower(), entities.get("label")
    if OWN in path.name:
        return Kind.OTHER
    if is_nifti(path) and path.name.startswith("sub-"):
        if suffix == "mask" and label in LABELS:
            return Kind.LESION
        if (suffix in MASKS and (words & LESION or label == "L")) or suffix in LESION:
            return Kind.LESION_OTHERWISE
        if (suffix in MASKS and words & HYPERINTENSITIES) or suffix in HYPERINTENSITIES:
            return Kind.HYPERINTENSITIES
    if any(map(ANATOMY.fullmatch, words)) or CONTRASTS.fullmatch(suffix):
        return Kind.OTHER
    is_mask = suffix in MASKS - {"dseg"} or "mask" in path.name.lower()
    return Kind.UNCLEAR if is_mask or LOOKS_SO.search(path.as_posix()) else Kind.OTHER


def masks_of(folder: Path, tree: Tree, images: Mapping[Key, list[Path]]) -> Masks:
    """The lesion masks of the images, or all where there is no image: those of a library."""
    found, notes = _by_session(folder, tree.volumes), list[str]()
    if images:
        if not found:
            found, notes = _beside(folder)
        found, more = _with_sessions(found, images)
        notes += more
        if orphans := [path for key in found if key not in images for path in found[key]]:
            whose = "no FLAIR image of the same subject and session for the masks"
            notes.append(f"{whose} {within(folder, orphans)}; left out")
        found = {key: paths for key, paths in found.items() if key in images}
    return Masks(found, (*_otherwise(folder, found), *notes))


def unread(folder: Path, tree: Tree, volumes: Sequence[CohortVolume]) -> tuple[str, ...]:
    """A line for files that look like lesion masks, where some patient has none."""
    if not any(volume.group == "patient" and volume.mask is None for volume in volumes):
        return ()
    read = {volume.mask for volume in volumes}
    rest = (path for path in tree.volumes if path not in read)
    return lesion_masks_alike(folder, rest)


def lesion_masks_alike(folder: Path, volumes: Iterable[Path]) -> tuple[str, ...]:
    """A line for those of the volumes that look like lesion masks."""
    others = (path for path in volumes if not fits(IMAGE, path, folder) and not fits(TRUTH, path, folder))
    if not (alike := [path for path in others if _may_be_one(from_root(path, folder))]):
        return ()
    files = count_of(len(alike), "file")
    return (f"{files} not read that may be lesion masks: {within(folder, alike)}; expected {EXPECTED}",)


def _may_be_one(path: Path) -> bool:
    """Whether a volume that is not read could be a lesion mask; one of no image is reported elsewhere."""
    kind = kind_of(path)
    elsewhere = not PLACES.fullmatch(path.as_posix())
    return kind in (Kind.UNCLEAR, Kind.HYPERINTENSITIES) or (kind < Kind.UNCLEAR and elsewhere)


def _by_session(folder: Path, volumes: Iterable[Path]) -> dict[Key, list[Path]]:
    """Lesion masks where they are looked for: of each session those with the plainest name.

    Masks of white matter hyperintensities count where nothing in the data set is called a lesion.
    """
    kinds = {path: kind_of(from_root(path, folder)) for path in volumes if fits(PLACES, path, folder)}
    lesions = [path for path, kind in kinds.items() if kind < Kind.HYPERINTENSITIES]
    others = [path for path, kind in kinds.items() if kind == Kind.HYPERINTENSITIES]
    return {
        key: [path for path in paths if kinds[path] == min(kinds[path] for path in paths)]
        for key, paths in grouped(lesions or others, key_of).items()
    }


def _beside(folder: Path) -> tuple[dict[Key, list[Path]], list[str]]:
    """Masks in a folder `derivatives` beside that of the raw data, or what is to be said of them.

    They are used where no other data set lies there, to which they could belong as well.
    """
    here = folder.resolve()
    place, tree = here.parent / "derivatives", Tree()
    if place == here or not place.is_dir():
        return {}, []
    tree.add([place], folder)
    found = _by_session(here, sorted(tree.volumes, key=natural))
    others = (
        [path for path in here.parent.glob("*/sub-*/") if path.parent not in (here, place)] if found else []
    )
    if not others:
        return found, []
    paths = [path for of_session in found.values() for path in of_session]
    return {}, [
        f"{count_of(len(paths), 'lesion mask')} beside the data set not read: {within(here, paths)}; other "
        f"data sets lie there too ({others[0].parent.name}): move or link them into {here.name}/derivatives"
    ]


def _with_sessions(
    masks: Mapping[Key, list[Path]], images: Mapping[Key, list[Path]]
) -> tuple[dict[Key, list[Path]], list[str]]:
    """The masks, those without session as those of their subject's only image; and a line that says so."""
    sessions = grouped(images, lambda key: key[0])
    found, filled = dict[Key, list[Path]](), list[str]()
    for key, paths in masks.items():
        only = sessions.get(key[0], [])
        if key[1] is None and len(only) == 1 and only[0] not in masks:
            found[only[0]] = paths
            filled.append(named(only[0]))
        else:
            found[key] = paths
    return found, [f"masks without session taken for that of {listed(filled)}"] if filled else []


def _otherwise(folder: Path, masks: Mapping[Key, list[Path]]) -> tuple[str, ...]:
    """A line for the masks that have another name than BIDS gives them, or lie beside the data set."""
    odd = [from_root(path, folder) for paths in masks.values() for path in paths]
    odd = [path for path in odd if kind_of(path) != Kind.LESION or path.parts[0] == ".."]
    if not odd:
        return ()
    return (f"{count_of(len(odd), 'file')} read as lesion masks by name and place: {listed(odd)}",)
