"""The command `prepare`: a cohort read, checked and brought to slices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pseudohealthy.cli.options import Folder, PresetOption, SetOption, path_argument, words_of
from pseudohealthy.cli.program import progress_bar, say
from pseudohealthy.data.layouts import Layout


def prepare(
    folders: Annotated[list[Path], path_argument(help="Data sets; several are put together.")],
    out: Folder,
    layout: Annotated[Layout, typer.Option(help="How the folders are laid out.")] = "auto",
    preset: PresetOption = "default",
    overrides: SetOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, where the data set has none.")] = 0,
    fractions: Annotated[
        tuple[float, float, float], typer.Option(help="Fractions of train, validation and test subjects.")
    ] = (0.6, 0.15, 0.25),
    controls: Annotated[
        str | None,
        typer.Option(
            metavar="WORD,WORD",
            help="What `group` in `participants.tsv` calls healthy controls; all others are patients. "
            "Default: common words, such as control, HC, CN.",
        ),
    ] = None,
) -> None:
    """Check every file of a cohort, split it by volume, and write slices that training can map into memory.

    A BIDS folder (masks under `derivatives/`, `label-lesion`), BraTS or ISLES 2015. A patient may lack a
    mask; `group` in `participants.tsv` says who is a control; a folder of masks alone is a lesion-mask
    library. A subject without a FLAIR image is left out. What was left out, assumed or not understood is
    reported first. Preparing the same again does nothing.

    Example: `pseudohealthy prepare MICCAI_BraTS_2018_Data_Training -o prepared/brats --preset midl2019`
    """
    from pseudohealthy.config import preprocessing
    from pseudohealthy.data.cohort import read_cohort
    from pseudohealthy.data.prepare import prepare as prepare_cohort
    from pseudohealthy.data.split import subject_counts

    settings = preprocessing(preset, overrides=overrides or [])
    cohort = read_cohort(folders, layout, words_of(controls))
    for note in cohort.notes:
        say(f"note: {note}", err=True)
    with progress_bar("prepare") as progress:
        manifest = prepare_cohort(cohort, out, settings, seed=seed, fractions=fractions, progress=progress)
    for split, totals in manifest["totals"].items():
        words = {label: label for label in totals["slices"]} | {"edge": "near the brain's edges"}
        counts = ", ".join(f"{count} {words[label]}" for label, count in totals["slices"].items() if count)
        say(f"{split}: {totals['volumes']} volumes; slices: {counts or 'none'}")
    for volume in manifest["volumes"]:
        file = next(iter(volume["inputs"].values()))["path"]
        for warning in volume["facts"].get("warnings", []):
            say(f"warning: {file}: {warning}", err=True)
    say(subject_counts(manifest["volumes"]))
    say(f"Prepared in {out}. Next: pseudohealthy train {out} -o RUN")
