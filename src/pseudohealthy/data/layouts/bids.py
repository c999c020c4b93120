"""BIDS: `sub-*/[ses-*/]anat/*_FLAIR.nii[.gz]`, lesion masks and phantoms' truth in derivatives.

Only names are read, so a data set with a broken description or an unvalidated derivative can be used. What
is missing is left out, and whatever is left out or not understood is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pseudohealthy.data.layouts.base import (
    CohortVolume,
    DataSet,
    Tree,
    at_most_one,
    count_of,
    grouped,
    is_nifti,
    listed,
    natural,
    within,
)
from pseudohealthy.data.layouts.bids_files import (
    IMAGE,
    TRUTH,
    Key,
    Kind,
    fits,
    from_root,
    key_of,
    kind_of,
    lesion_masks_alike,
    masks_of,
    named,
    owner_of,
    unread,
)
from pseudohealthy.data.layouts.participants import TABLE, Participants, read_participants
from pseudohealthy.errors import InputError

LOOKS_FOR = "BIDS: sub-*/[ses-*/]anat/*_FLAIR.nii[.gz] or derivatives/**/sub-*_label-lesion_mask.nii[.gz]"
IMAGES = ("sub-*/anat/sub-*_FLAIR.nii*", "sub-*/ses-*/anat/sub-*_FLAIR.nii*")
NO_DATA = ("sourcedata", "code", "stimuli")


def read(folder: Path, source: str, controls: Sequence[str] = ()) -> DataSet:
    """The volumes of a BIDS folder, in natural order; none where it is not one.

    `participants.tsv` may give each subject a `split` (train, val, test) and a `group`; of its words those in
    `controls` are healthy controls, or those that are known where `controls` is empty. A folder with lesion
    masks and no image is a lesion-mask library. Links to folders are followed. What has no image, and what
    has no split where others have one, is left out and reported.

    Raises:
        InputError: a session with several images or masks, an image in another subject's folder, or a
            participants.tsv that cannot be read, contradicts itself, or has groups that are not understood.
    """
    tree = _tree(folder)
    images = grouped((path for path in tree.volumes if fits(IMAGE, path, folder)), key_of)
    truths = grouped((path for path in tree.volumes if fits(TRUTH, path, folder)), key_of)
    _expect_own_folders(images, folder)
    masks = masks_of(folder, tree, images)
    if not (keys := images or masks.of):
        return DataSet(
            notes=(*_images_alike(folder, tree.volumes), *lesion_masks_alike(folder, tree.volumes))
        )
    people = read_participants(folder, {subject for subject, _ in keys}, controls, with_groups=bool(images))
    volumes = []
    for key in sorted(keys, key=lambda key: natural("_".join(filter(None, key)))):
        if people.splits and key[0] not in people.splits:
            continue
        whose = f"{folder}: {named(key)}"
        volumes.append(
            CohortVolume(
                subject=key[0],
                group=people.groups.get(key[0], "patient") if images else "library",
                image=at_most_one(images.get(key, []), "FLAIR image", whose),
                mask=at_most_one(masks.of.get(key, []), "lesion mask", whose),
                truth=at_most_one(truths.get(key, []), "healthy truth", whose),
                split=people.splits.get(key[0]),
                source=source,
                session=key[1],
                folder=folder,
            )
        )
    left = _left_out(folder, tree, keys, people) if images else _of_library(folder, tree, len(keys))
    dead = (f"links or folders that cannot be opened: {within(folder, tree.dead)}",) if tree.dead else ()
    unsplit = _without_split(people, {subject for subject, _ in keys})
    notes = (*people.notes, *unsplit, *left, *masks.notes, *unread(folder, tree, volumes), *dead)
    return DataSet(tuple(volumes), notes, people.words)


def _tree(folder: Path) -> Tree:
    """The volumes of the data set: of subjects' folders, of derivatives, and of all other folders."""
    tree, there = Tree(), sorted(folder.iterdir(), key=natural)
    places = [path for path in there if path.is_dir() or (path.is_symlink() and not path.suffix)]
    places = [path for path in places if not path.name.startswith(".") and path.name not in NO_DATA]
    of_subjects = [path for path in places if path.name.startswith("sub-")]
    derivatives = [path for path in places if path.name == "derivatives"]
    for roots in (of_subjects, derivatives, places):  # what was seen once is not looked at again
        tree.add(roots, folder)
    tree.volumes += [path for path in there if is_nifti(path) and not path.is_dir()]
    tree.volumes.sort(key=natural)
    tree.dead = list(dict.fromkeys(tree.dead))
    return tree


def _expect_own_folders(images: Mapping[Key, list[Path]], folder: Path) -> None:
    """Make sure that no image lies in another subject's folder: whose it is would be a guess."""
    for (subject, _), paths in images.items():
        if foreign := [path for path in paths if owner_of(path, folder) != subject]:
            raise InputError(
                f"{folder}: {within(folder, foreign)} named as of sub-{subject} in the folder of another "
                "subject; rename the file or move it"
            )


def _left_out(folder: Path, tree: Tree, keys: Iterable[Key], people: Participants) -> list[str]:
    """Lines for subjects and sessions without an image."""
    there = set(keys)
    subjects = {subject for subject, _ in there}
    folders = [path for path in folder.glob("sub-*") if path.is_dir() or path.is_symlink()]
    names = {*(path.name.removeprefix("sub-") for path in folders), *people.listed} - subjects
    sessions = (path.relative_to(folder).parts for path in folder.glob("sub-*/ses-*/"))
    lacking: set[Key] = {(name, None) for name in names}
    lacking |= {(sub.removeprefix("sub-"), ses.removeprefix("ses-")) for sub, ses in sessions} - there
    lacking -= {(sub, ses) for sub, ses in lacking if ses and sub in names}
    if not lacking:
        return []
    in_order = sorted(map(named, lacking), key=natural)
    of_these = [
        path for path in tree.volumes if owner_of(path, folder) in {subject for subject, _ in lacking}
    ]
    return [f"no FLAIR image, left out: {listed(in_order)}", *_images_alike(folder, of_these)]


def _of_library(folder: Path, tree: Tree, masks: int) -> list[str]:
    """Lines for a folder of masks that has other images too, which may have been meant as the masks' own."""
    others = [path for path in tree.volumes if kind_of(from_root(path, folder)) == Kind.OTHER]
    if not others:
        return []
    library = f"no FLAIR image, so {count_of(masks, 'mask')} taken for a lesion-mask library without image"
    return [library, *_images_alike(folder, others)]


def _without_split(people: Participants, subjects: set[str]) -> list[str]:
    """A line for subjects that are left out as they have no split where others have one."""
    lacking = sorted(subjects - people.splits.keys(), key=natural) if people.splits else []
    names = listed(f"sub-{name}" for name in lacking)
    return [f"{TABLE}: no split for {names}, left out; give every subject one, or none"] if lacking else []


def _images_alike(folder: Path, volumes: Iterable[Path]) -> tuple[str, ...]:
    """A line for files that say FLAIR in their name and are not where images are looked for."""
    named_so = (path for path in volumes if "flair" in path.name.lower() and "desc-" not in path.name)
    alike = [path for path in named_so if not fits(IMAGE, path, folder)]
    alike = [path for path in alike if kind_of(from_root(path, folder)) == Kind.OTHER]
    if not alike:
        return ()
    files = f"{count_of(len(alike), 'file')} not read that may be FLAIR images: {within(folder, alike)}"
    return (f"{files}; expected sub-*/[ses-*/]anat/sub-*_FLAIR.nii[.gz]",)
