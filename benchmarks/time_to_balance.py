"""How long a training takes: minutes until a validation balance is reached, on phantoms, of one seed.

Both trainings have the same time, in all; one spends half of it on the warm-up, in which no checkpoint is
kept, so that it can reach nothing before.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pseudohealthy.assessment.checkpoint_selection import choose
from pseudohealthy.assessment.judge_selection import BEST, VALIDATION, select_judge
from pseudohealthy.config import preprocessing, settings
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.experiment.demo import PREPROCESSING, SEED, SETTINGS, SPACING
from pseudohealthy.json_files import read_json
from pseudohealthy.phantom.dataset import make_phantoms
from pseudohealthy.synthesis.model import Model
from pseudohealthy.training.loop import train
from pseudohealthy.training.run_folder import SNAPSHOTS
from pseudohealthy.training.weights import CONFIG

PATIENTS = 40
BALANCES = (0.5, 0.6, 0.7)
WARM_UP = {"with_warm_up": 0.5, "without_warm_up": 0.0}  # share of the time
JUDGE: dict[str, Any] = {
    "networks": {"segmentor_width": 8},
    "training": {"learning_rate": 1e-3, "augment": "deform", "ema": 0.99, "preview_every": 100_000},
}


def rows(minutes: float, judge_images: int, snapshot_every: int) -> Iterator[dict[str, Any]]:
    """A row with warm-up and one without: minutes until each balance, None where it is not reached."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phantoms = make_phantoms(folder / "phantoms", patients=PATIENTS, seed=SEED, spacing=SPACING)
        prepare(read_cohort([phantoms]), folder / "prepared", preprocessing(values=PREPROCESSING))
        prepared = Prepared.open(folder / "prepared")
        judge = judged(prepared, folder / "judge", judge_images)
        for label, share in WARM_UP.items():
            chosen = {**SETTINGS["training"], "images": None, "warm_up_images": 0, "minutes": minutes}
            chosen |= {"warm_up_fraction": share, "snapshot_every": snapshot_every}
            run, began = folder / label, time.time()
            train(
                prepared, run, settings("paired", values={**SETTINGS, "training": chosen}), accelerator="cpu"
            )
            yield {
                "name": f"balance_{label}",
                **reached(run, began, prepared, judge),
                "training_minutes": minutes,
            }


def judged(prepared: Prepared, run: Path, images: int) -> Path:
    """A judge's run, its best weights chosen."""
    of_judge = {**JUDGE["training"], "images": images, "snapshot_every": max(images // 10, 4)}
    train(prepared, run, settings("judge", values={**JUDGE, "training": of_judge}), accelerator="cpu")
    select_judge(run, prepared, "cpu")
    return run


def reached(run: Path, began: float, prepared: Prepared, judge: Path) -> dict[str, Any]:
    """When a run's checkpoints reached each balance, and the best of them."""
    slices = SliceSet.of(prepared, "val")
    curve = choose(run, slices, {"judge": Model.load(judge / BEST, "cpu")}, "cpu")["curve"]
    written = {
        int(folder.name): ((folder / CONFIG).stat().st_mtime - began) / 60
        for folder in (run / SNAPSHOTS).iterdir()
    }
    minutes = {
        str(balance): min(
            (written[point["images"]] for point in curve if point["choice"] >= balance), default=None
        )
        for balance in BALANCES
    }
    best = max(curve, key=lambda point: point["choice"])
    of_judge = max(read_json(judge / VALIDATION)["curve"], key=lambda point: point["dice_every_slice"])
    return {
        "minutes_until_balance": minutes,
        "best": {"identity": best["identity"], "healthiness": best["healthiness"], "balance": best["choice"]},
        "judge": {key: of_judge[key] for key in ("dice_pooled", "h_copy", "h_real_healthy")},
        "checkpoints": len(curve),
    }
