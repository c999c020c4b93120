"""A table1.json that nobody measured, with all that can be in one, and tables to go with it."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pandas as pd

VOLUMES = 12
SCORES = {  # identity, healthiness
    "conditional_gan": (0.741, 0.802),
    "cyclegan": (0.823, 0.853),
    "unpaired": (0.874, 0.921),
    "paired": (0.912, 0.964),
    "semi_supervised": (0.893, 0.942),
    "inpainter": (0.987, 0.884),
    "copy": (1.0, 0.048),
    "blur": (0.802, 0.311),
    "constant": (0.354, 0.992),
    "mirror": (0.984, 0.755),
    "fill": (0.981, 0.931),
    "threshold_fill": (0.972, 0.688),
}


def measure(mean: float, std: float = 0.0314) -> dict[str, float]:
    return {"mean": mean, "std": std, "low": mean - 0.6 * std, "high": mean + 0.5 * std}


def one_volume(mean: float) -> dict[str, float | None]:
    return {"mean": mean, "std": None, "low": None, "high": None}


def row(method: str, output: str = "raw", mask: str | None = None, **more: Any) -> dict[str, Any]:
    identity, healthiness = SCORES[method]
    identity = 0.996 if output == "blend" or mask == "true" else identity
    return {
        "method": method,
        "preset": "midl2019",
        "output": output,
        "mask": mask,
        "seed": 0,
        "healthiness": {
            **measure(healthiness, 0.0571),
            "pooled": healthiness - 0.0111,
            "panel_mean": healthiness - 0.0222,
            "panel_worst": healthiness - 0.0333,
            "rel": healthiness - 0.0444,
            "held_out": {**measure(healthiness - 0.0555), "pooled": healthiness - 0.0566},
            "insertion_recall": 0.8764,
            "unreliable": False,
            "members": {"seed_1": {"pooled": healthiness - 0.02}, "threshold": healthiness - 0.03},
        },
        "identity": measure(identity),
        "balance": measure(2 * identity * healthiness / (identity + healthiness)),
        "texture": {"median": 0.6543, "low": 0.6, "high": 0.7, "lower_quartile": 0.5, "slices": 240},
        "identity_normalised": measure(identity - 0.1),
        "psnr_outside": measure(31.456, 4.5),
        "mae_outside": measure(0.00544, 0.0011),
        "residual_contrast": measure(-0.0004, 0.02),
        "checkerboard": measure(1.234),
        "through_plane_inconsistency": None,
        **more,
    }


def trained(method: str, **more: Any) -> dict[str, Any]:
    """All that is measured of a trained method; some of it only where it has R or S."""
    errors = {"psnr": measure(24.5, 2.0), "ssim": measure(0.817), "mae": measure(0.0512)}
    factorised = method in ("unpaired", "paired", "semi_supervised")
    return row(
        method,
        images=16000,
        width=32,
        device="NVIDIA H200",
        hours=1.25,
        truth_transplant={"inside": errors, "rim": errors, "outside": errors},
        truth_phantom=None,
        reseg_excess_auroc=measure(0.0711),
        cycle={"l1": measure(0.0213), "location_dice": measure(0.777)} if factorised else None,
        mask_control={"residual_without_mask": measure(0.0456), "moved_mask_dice": measure(0.6123)}
        if factorised
        else {},
        healthy_in={
            "mae": measure(0.0123),
            "ms_ssim": measure(0.987),
            "false_positive_voxels": measure(12.3, 4),
        },
        segmentor_dice={**measure(0.712), "pooled": 0.7456} if factorised else None,
        anomaly_auprc=measure(0.513),
        detection={"small": {"recall": 0.25}, "large": {"recall": 0.875}} if factorised else None,
        **more,
    )


def table1() -> dict[str, Any]:
    """Every kind of row, in no order."""
    star = {"identity": True, "healthiness": True, "balance": True}
    rows = [
        *(row(name, mask="segmentor") for name in ("fill", "mirror", "inpainter")),
        *(row(name) for name in ("copy", "blur", "constant", "threshold_fill")),
        trained("paired", p_holm={"identity": 0.00123, "healthiness": 0.0312, "balance": 0.004}, star=star),
        trained("paired", preset="media2020"),
        trained("unpaired", p_holm={"identity": 0.0456, "healthiness": 0.2}, star={"identity": True}),
        trained("unpaired", seed=1),
        *(trained(name) for name in ("semi_supervised", "cyclegan", "conditional_gan")),
        *(row(name, "blend", "segmentor") for name in ("paired", "unpaired")),
        *(row(name, mask="true") for name in ("fill", "mirror")),
    ]
    rows[0]["healthiness"].update(unreliable=True, insertion_recall=0.1234)
    return {
        "commit": "0123456789abcdef",
        "config": "configs/made_up.yaml",
        "cohort": "made_up",
        "split": {"train": 68, "val": 12, "test": VOLUMES},
        "preprocessing": {"slice_shape": [208, 160]},
        "valid": True,
        "judge": {"dice_pooled": 0.8123, "dice_per_volume": 0.7891, "h_copy": 0.0481},
        "choice_rule": "the kept checkpoint with the highest identity + healthiness on validation",
        "machine": "x86_64, 2 threads",
        "versions": {"torch": "2.13.0", "numpy": "2.3.0"},
        "rows": rows,
    }


def volumes() -> pd.DataFrame:
    """Values by volume of every row of `table1`, and one that could not be measured."""
    records = [
        {**{key: row[key] for key in ("method", "preset", "output", "mask", "seed")}, "volume": f"V{n:02d}"}
        | {"measure": name, "value": value}
        for row in table1()["rows"]
        for name in ("identity", "healthiness")
        for n, value in enumerate(_around(row, name))
    ]
    table = pd.DataFrame(records)
    table.loc[0, "value"] = np.nan
    return table


def curves() -> pd.DataFrame:
    """Validation of the five methods, one of them with two seeds."""
    runs = [("conditional_gan", 0), ("cyclegan", 0), ("unpaired", 0), ("unpaired", 1), ("paired", 0)]
    records = []
    for method, seed in runs:
        identity, healthiness = SCORES[method]
        for images in range(2000, 18000, 2000):
            reached = 1 - np.exp(-images / 4000) - 0.03 * seed
            identities, healths = identity * (0.8 + 0.2 * reached), healthiness * reached
            record = {"method": method, "seed": seed, "images": images, "identity": identities}
            record |= {"healthiness": healths, "choice": identities + healths, "chosen": images == 14000}
            records.append(record)
    return pd.DataFrame(records)


def _around(row: dict[str, Any], name: str) -> Any:
    seed = zlib.crc32(f"{row['method']}{row['preset']}{row['output']}{row['seed']}{name}".encode())
    spread = np.random.default_rng(seed).normal(0, row[name]["std"], VOLUMES)
    return np.minimum(row[name]["mean"] + spread, 1)
