"""What a row of Table 1 is called, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pseudohealthy.catalogue.methods import method_name, method_order
from pseudohealthy.report.table1.cells import is_measured

MASKS: Mapping[str, str] = {"segmentor": "segmentor's mask", "true": "true mask"}
PRESETS = ("midl2019", "media2020", "default")

Row = Mapping[str, Any]


def sort_key(row: Row) -> tuple[int, str, int, float, bool, str, int]:
    """By method in the paper's order, preset, falling fraction of the masks, raw before blend, mask, seed."""
    preset = row.get("preset")
    place = PRESETS.index(preset) if preset in PRESETS else len(PRESETS)
    seed, labelled = row.get("seed"), _labelled(row)
    return (
        method_order(str(row["method"])),
        str(row["method"]),
        place,
        -1.0 if labelled is None else -labelled,
        row.get("output") == "blend",
        str(row.get("mask") or ""),
        int(seed) if seed is not None and is_measured(seed) else -1,
    )


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Rows as they stand in a table."""
    return sorted(rows, key=sort_key)


def row_label(row: Row) -> str:
    """Method, how many of the masks if not all, blend if it is one, and whose mask."""
    return ", ".join([method_name(str(row["method"])), *_what(row)])


def distinct_labels(rows: Sequence[Row]) -> list[str]:
    """Names as of `row_label`, with preset and seed of those methods that have several."""
    several = {key: _methods_with_several(rows, key) for key in ("preset", "seed")}
    return [_distinct(row, several) for row in rows]


def _distinct(row: Row, several: Mapping[str, set[str]]) -> str:
    method = str(row["method"])
    forms = {"preset": "{}", "seed": "seed {}"}
    reported = [key for key in forms if method in several[key] and is_measured(row.get(key))]
    return ", ".join([method_name(method), *(forms[key].format(row[key]) for key in reported), *_what(row)])


def _what(row: Row) -> list[str]:
    """The masks of the training, the kind of output and its own mask, where there is something to say."""
    mask, labelled = MASKS.get(str(row.get("mask"))), _labelled(row)
    parts = [] if labelled is None else [f"{100 * labelled:.0f} % of the masks"]
    if row.get("output") == "blend":
        return [*parts, f"blend with {mask}" if mask else "blend"]
    return [*parts, mask] if mask else parts


def _labelled(row: Row) -> float | None:
    """The fraction of the masks that its training was given; None: all, or nothing is said."""
    value = row.get("labelled_fraction")
    return float(value) if value is not None and is_measured(value) else None


def _methods_with_several(rows: Sequence[Row], key: str) -> set[str]:
    pairs = {(str(row["method"]), row[key]) for row in rows if is_measured(row.get(key))}
    methods = [method for method, _ in pairs]
    return {method for method in methods if methods.count(method) > 1}


def is_oracle(row: Row) -> bool:
    """It was given the true mask."""
    return row.get("mask") == "true"
