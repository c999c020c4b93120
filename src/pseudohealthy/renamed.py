"""Names of version 0.1 and what they are called now, so that an old file is answered with the new name.

The program itself knows the new names only; `scripts/migrate_0_1.py` rewrites old files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pseudohealthy.errors import InputError

MIGRATE = "python scripts/migrate_0_1.py"  # and what it is to rewrite
# Settings, by group; `experiment` is an experiment file's own level
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "experiment": {"held_back": "held_out"},
    "networks": {"output": "output_mode", "critic": "discriminator_activation"},
    "losses": {
        "truth": "synthetic_supervision",
        "clean": "residual_lesion",
        "outside": "identity_outside_lesion",
        "healthy": "healthy_identity",
        "mask_critic_input": "mask_discriminator_input",
    },
    "training": {
        "inserted": "synthetic_fraction",
        "pool": "fake_pool_size",
        "critic_steps": "discriminator_steps",
        "critic_steps_later": "discriminator_steps_later",
        "critic_epoch": "discriminator_epoch",
        "labelled_share": "labelled_fraction",
        "warm_up_share": "warm_up_fraction",
        "keep_every": "snapshot_every",
        "panel_every": "preview_every",
    },
    "preprocessing": {
        "field": "slice_shape",
        "clip": "clip_region",
        "centre": "crop_centre",
        "slices": "slice_selection",
    },
}
# Settings that are no more, by group, and what is done instead
GONE: Mapping[str, Mapping[str, str]] = {
    "training": dict.fromkeys(
        ("painted", "lesion_appearance"), "synthetic lesions are bright, at times with a dark core"
    ),
}
# Keys of results, reports and tables
RESULTS: Mapping[str, str] = {
    "held_back": "held_out",
    "held_back_in_inputs": "held_out_in_inputs",
    "void": "unreliable",
    "flicker": "through_plane_inconsistency",
    "brightness_flicker": "brightness_inconsistency",
    "obey": "mask_control",
    "left_without_mask": "residual_without_mask",
    "moved_dice": "moved_mask_dice",
    "stayed": "leak_at_original_site",
    "familiar": "out_of_distribution",
    "end": "edge",
    "kept": "inside_brain",
}


def new_name(group: str, name: str) -> str | None:
    """What a setting of version 0.1 is called now; None where its name is the same, or it never was one."""
    return SETTINGS.get(group, {}).get(name)


def gone(group: str, name: str) -> str | None:
    """What is done instead of a setting that is no more; None where it is or never was one."""
    return GONE.get(group, {}).get(name)


def expect_new_names(path: Path, names: Iterable[str]) -> None:
    """Refuse a file of results that has a name of version 0.1.

    Args:
        path: of the file.
        names: its columns or keys; parts of a dotted path are looked at one by one.

    Raises:
        InputError: it has one; the message says what it is called now, and what to do.
    """
    for part in (part for name in names for part in name.split(".")):
        if part in RESULTS:
            raise InputError(
                f"{path}: written by version 0.1, {part} is now {RESULTS[part]}; rewrite it with "
                f"{MIGRATE} {path.parent}"
            )


def keys_of(values: Any) -> Iterable[str]:
    """Every key of JSON values, at any depth."""
    if isinstance(values, Mapping):
        yield from map(str, values)
        values = list(values.values())
    for each in values if isinstance(values, list) else []:
        yield from keys_of(each)
