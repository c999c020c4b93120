"""The command `phantom`: synthetic patients."""

from __future__ import annotations

from typing import Annotated

import typer

from pseudohealthy.cli.options import Folder
from pseudohealthy.cli.program import progress_bar, say


def phantom(
    out: Folder,
    patients: Annotated[int, typer.Option(min=0, help="Subjects with lesions.")] = 20,
    controls: Annotated[int, typer.Option(min=0, help="Subjects without.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Subject i of a seed is always the same.")] = 0,
    spacing: Annotated[float, typer.Option(help="Voxel size in mm.")] = 1.0,
) -> None:
    """Make a BIDS data set of synthetic brains: FLAIR, lesion masks, and each brain's true healthy image."""
    from pseudohealthy.phantom.dataset import make_phantoms

    with progress_bar("phantoms") as progress:
        make_phantoms(
            out, patients=patients, controls=controls, seed=seed, spacing=spacing, progress=progress
        )
    say(f"{patients + controls} subjects in {out}. Next: pseudohealthy prepare {out} -o PREPARED")
