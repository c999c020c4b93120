"""Tables from plain results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any


def summary_lines(summary: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Each measure of a score summary as `name: mean ± standard deviation [95 % interval]`.

    One volume says nothing of spread: only its value is shown. So is a number that stands for all volumes.
    """
    for name, value in summary.items():
        if isinstance(value, float):
            yield f"{prefix}{name}: {value:.3f}"
        if not isinstance(value, Mapping):
            continue
        if "mean" not in value:
            yield from summary_lines(value, f"{prefix}{name}.")
            continue
        line = f"{prefix}{name}: {value['mean']:.3f}"
        if math.isfinite(value["std"]):
            line += f" ± {value['std']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
        pooled = [f", {key} {value[key]:.3f}" for key in ("pooled", "rel") if key in value]
        yield line + "".join(pooled)
