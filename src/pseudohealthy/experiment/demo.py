"""The main job from nothing, on phantoms: train, process a held-out patient, compare with the truth."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from pseudohealthy.assessment.evaluate import evaluate
from pseudohealthy.assessment.protocol import ProtocolSettings
from pseudohealthy.config import preprocessing, settings
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import RESEARCH_USE, InputError, PseudohealthyError, printable
from pseudohealthy.files import read_tsv, replace
from pseudohealthy.phantom.dataset import make_phantoms
from pseudohealthy.report.figures import panel
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.synthesize import synthesize
from pseudohealthy.training.loop import train

PATIENTS, SEED, SPACING = 24, 0, 2.0
PREPROCESSING = {"spacing": SPACING, "slice_shape": [96, 80]}
SETTINGS: dict[str, Any] = {
    "networks": {"width": 12, "segmentor_width": 8, "discriminator_width": 8, "mirrored_input": True},
    "losses": {"gradient": 5.0},
    "training": {
        "warm_up_images": 4000,  # of G and S alone, far cheaper than those of the cycles
        "images": 400,
        "learning_rate": 1e-3,
        "checkpoint_every": 400,
        "preview_every": 400,
    },
}
MOST_ERROR, LEAST_IDENTITY = 0.4, 0.90
PANEL_ROWS = 3
MADE = ("prepared", "run", "synthesized", "panel.png", "scores")  # of the phantoms


def run_demo(out: Path) -> None:
    """Do it all in `out`, a few minutes on 2 cores; run again, it goes on where it was.

    Raises:
        InputError: `out` holds a file or folder of a name that the demo's have, and no demo.
        PseudohealthyError: in the held-out patient the error inside the lesion is more than 0.4 of the
            input's own, or the mask-normalised identity is under 0.90.
    """
    _refuse_others(out)
    say = Console(highlight=False, soft_wrap=True).print
    began = time.monotonic()
    say(f"1/4  {PATIENTS} phantom patients: FLAIR, lesion masks, and the truth")
    phantoms = make_phantoms(out / "phantoms", patients=PATIENTS, seed=SEED, spacing=SPACING)
    prepare(read_cohort([phantoms]), out / "prepared", preprocessing(values=PREPROCESSING))
    prepared = Prepared.open(out / "prepared")
    say("2/4  a small paired model, trained on this machine's processor")
    weights = train(prepared, out / "run", settings("paired", values=SETTINGS), accelerator="cpu")
    model = Model.load(weights, "cpu")
    subject = _held_out(prepared.slices)
    say(f"3/4  patient {subject}, held out of training")
    image = phantoms / f"sub-{subject}" / "anat" / f"sub-{subject}_FLAIR.nii.gz"
    files = synthesize(image, model).save(out / "synthesized", image.name, overwrite=True)
    replace(out / "panel.png", lambda part: _draw(part, prepared, model, subject))
    say("4/4  scores beside the truth")
    evaluate(prepared, model, out / "scores", ProtocolSettings(split="test"), overwrite=True)
    table = read_tsv(out / "scores" / "volumes.tsv", index="volume")
    scores = table.loc[subject].astype(float).to_dict()
    say(_table(scores))
    say(printable(f"Look at {out / 'panel.png'} and at {files['healthy']}"), markup=False)
    say(f"Done in {time.monotonic() - began:.0f} s. Next, with your own skull-stripped FLAIR:")
    say("  pseudohealthy synthesize YOUR_FLAIR.nii.gz -o OUT")
    say("  pseudohealthy prepare YOUR_BIDS -o prepared && pseudohealthy train prepared -o run")
    say(RESEARCH_USE)
    _check(scores)


def _refuse_others(out: Path) -> None:
    """Refuse files that an earlier demo, which begins with its phantoms, cannot have written."""
    there = [out / name for name in MADE if (out / name).exists()]
    if there and not (out / "phantoms").exists():
        raise InputError(f"{there[0]}: exists already, and is no demo's; choose another folder")


def _held_out(slices: pd.DataFrame) -> str:
    """The test patient with the largest lesion."""
    lesions = slices[slices["split"] == "test"].groupby("subject")["lesion_voxels"].sum()
    return str(lesions.idxmax())


def _draw(path: Path, prepared: Prepared, model: Model, subject: str) -> None:
    """Input, healthy image, truth, difference and lesion of three slices spread over the lesion."""
    table = prepared.slices
    rows = table[(table["subject"] == subject) & (table["label"] == "pathological")]["row"].to_numpy()
    rows = rows[[len(rows) * (2 * nth + 1) // (2 * PANEL_ROWS) for nth in range(PANEL_ROWS)]]
    x, truth = prepared.images[rows], prepared.truth
    healthy = model.synthesize(x)
    columns = {
        "input": x,
        "healthy": healthy,
        "truth": x if truth is None else truth[rows],
        "difference": healthy - x,
        "lesion probability": model.segment(x),
        "true lesion": prepared.masks[rows],
    }
    images = [list(row) for row in zip(*columns.values(), strict=True)]
    panel(path, list(columns), images, title=f"phantom patient {subject}, held out of training")


def _table(scores: Mapping[Hashable, float]) -> Table:
    table = Table("held-out patient", "measured", "required", "of the input itself")
    error, identity = scores["truth_phantom.mae_ratio"], scores["identity_normalised"]
    table.add_row("error inside the lesion, of the input's own", f"{error:.2f}", f"<= {MOST_ERROR}", "1.00")
    table.add_row("identity (mask-normalised MS-SSIM)", f"{identity:.3f}", f">= {LEAST_IDENTITY}", "1.000")
    table.add_row("PSNR inside the lesion, dB", f"{scores['truth_phantom.inside.psnr']:.1f}", "", "")
    table.add_row("PSNR outside the lesion, dB", f"{scores['truth_phantom.outside.psnr']:.1f}", "", "")
    return table


def _check(scores: Mapping[Hashable, float]) -> None:
    error, identity = scores["truth_phantom.mae_ratio"], scores["identity_normalised"]
    if not (error <= MOST_ERROR and identity >= LEAST_IDENTITY):
        raise PseudohealthyError(
            f"the demo's model is not good enough: error inside the lesion {error:.2f} of the input's own "
            f"(at most {MOST_ERROR}), identity {identity:.3f} (at least {LEAST_IDENTITY})"
        )
