"""A measure as the text of a table's cell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

MISSING = "–"  # where nothing was measured


def cell(value: Any, mark: str = "") -> str:
    """A number, or `mean ± standard deviation [low, high], pooled`, as far as each is there.

    Args:
        value: a number; a measure `{"mean", "std", "low", "high"}`, perhaps with `pooled`, or with `median`
            in place of mean and std; a word; None. NaN is nothing, as None.
        mark: set behind the mean and its spread, such as a star.
    """
    if not isinstance(value, Mapping):
        return text(value) + mark if is_measured(value) else MISSING
    mean: Any
    spread: Any
    mean, spread, pooled = (value.get(key) for key in ("mean", "std", "pooled"))
    mean = value.get("median") if mean is None else mean
    if not is_measured(mean):
        return f"pooled {text(pooled)}{mark}" if is_measured(pooled) else MISSING
    places = _places(max(abs(mean), spread if is_measured(spread) else 0))
    line = _fixed(mean, places)
    if is_measured(spread):
        line += f" ± {_fixed(spread, places)}"
    line += mark
    if is_measured(value.get("low")) and is_measured(value.get("high")):
        line += f" [{_fixed(value['low'], places)}, {_fixed(value['high'], places)}]"
    return line + (f", pooled {text(pooled)}" if is_measured(pooled) else "")


def text(value: Any) -> str:
    """One value: floats with three places, fewer from 10 on, more below 0.01."""
    if not is_measured(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _fixed(value, _places(value)) if isinstance(value, float) else str(value)


def is_measured(value: Any) -> bool:
    """Neither None nor NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def get_path(row: Mapping[str, Any], path: str) -> Any:
    """What lies at a dotted path; None where there is nothing."""
    value: Any = row
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def point_estimate(value: Any) -> Any:
    """A measure's pooled value, else its mean or median; a number as it is."""
    if not isinstance(value, Mapping):
        return value
    return next((value[key] for key in ("pooled", "mean", "median") if is_measured(value.get(key))), None)


def measures(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each measure with its dotted path: whatever is no group of others, such as a number."""
    for key, value in values.items():
        if isinstance(value, Mapping) and not is_measure(value):
            yield from measures(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def is_measure(values: Mapping[str, Any]) -> bool:
    """It has a mean, or a median with its interval: no group of several measures."""
    return "mean" in values or {"median", "low", "high"} <= values.keys()


def _places(value: float) -> int:
    size = abs(value)
    return 1 if size >= 10 else 4 if 0 < size < 0.01 else 3


def _fixed(value: float, places: int) -> str:
    return f"{round(float(value), places) + 0.0:.{places}f}"  # + 0.0: no minus before a zero
