"""A processed data set as one table and one page: lesions, anomaly scores, and outliers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pseudohealthy.bids_app.records import Record, records, without_record, write_status_table
from pseudohealthy.bids_app.selection import Subject, select, session
from pseudohealthy.errors import InputError, printable
from pseudohealthy.files import write_json, write_tsv
from pseudohealthy.json_files import read_json
from pseudohealthy.report.cohort import cohort_html
from pseudohealthy.synthesis.lesion_caveat import NOT_MEASURED

OUTLIER_Z = 3.5  # Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993)
MIN_IMAGES = 5  # fewer give no robust z
TO_SIGMA = {
    "median": 1.4826,
    "mean": 1.2533,
}  # of absolute deviations, to a normal's standard deviation
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "participant_id": {"Description": "the subject"},
    "session_id": {"Description": "the session"},
    "image": {"Description": "the image's path in the data set"},
    "lesion_ml": {
        "Description": "volume of the lesion mask; read lesion_caveat before using it",
        "Units": "mL",
    },
    "lesion_ml_95_low": {
        "Description": "least volume of the lesion in its 95 % interval; n/a without --uncertainty",
        "Units": "mL",
    },
    "lesion_ml_95_high": {"Description": "greatest volume in that interval", "Units": "mL"},
    "lesion_caveat": {"Description": "what the weights mark where there is no lesion"},
    "brain_ml": {"Description": "volume of the brain in the image", "Units": "mL"},
    "lesion_percent": {"Description": "lesion volume, of the brain's", "Units": "percent"},
    "anomaly_mean": {
        "Description": "mean over the brain of |input - as if healthy|, on the network's scale from 0 to 1"
    },
    "anomaly_p99": {"Description": "its 99th percentile over the brain"},
    "lesion_ml_z": {
        "Description": f"robust z of lesion_ml over these images; n/a for fewer than {MIN_IMAGES}"
    },
    "anomaly_mean_z": {"Description": "robust z of anomaly_mean over these images"},
    "outlier": {
        "Description": f"measures whose robust z is above {OUTLIER_Z} or below -{OUTLIER_Z}: check it"
    },
    "warnings": {"Description": "what the program reported as unusual about the image"},
}
MEASURES = ("lesion_ml", "anomaly_mean")


def write_group(bids: Path, out: Path, subjects: Sequence[Subject]) -> dict[str, Path]:
    """Write `group_lesions.tsv`, what its columns mean (`.json`), and the page `group_report.html`.

    Args:
        bids: the data set.
        out: the derivatives that the level `participant` made of it.
        subjects: those to report on; failed ones and those not tried yet are named on the page.

    Returns:
        The files by kind: "table", "columns", "page", "status".

    Raises:
        InputError: none of the subjects has been processed.
        PseudohealthyError: the disk is full.
    """
    recorded = records(out, subjects)
    done = [record for record in recorded.values() if record and record.is_complete(out)]
    if not done:
        raise InputError(
            f"{out}: none of {len(subjects)} subjects is processed there; run the level participant first"
        )
    table = cohort_table(out, done)
    missing = {name: _why(out, name, record) for name, record in recorded.items() if record not in done}
    files = {
        "table": out / "group_lesions.tsv",
        "columns": out / "group_lesions.json",
        "page": out / "group_report.html",
    }
    write_tsv(files["table"], table)
    write_json(files["columns"], COLUMNS)
    with_none = table.astype(object).where(table.notna(), None)
    rows = [{str(key): value for key, value in row.items()} for row in with_none.to_dict("records")]
    pages = {record.name: _page(record) for record in done}
    title = printable(f"{bids.resolve().name}: {len(done)} images")
    cohort_html(files["page"], title, rows, pages, missing=missing, measures=MEASURES)
    return {**files, "status": write_status_table(out, select(bids))}


def cohort_table(out: Path, done: Sequence[Record]) -> pd.DataFrame:
    """A row for each processed image, with the columns of `COLUMNS`; NaN where a report has no value."""
    table = pd.DataFrame([_row(record, _report(out, record)) for record in done])
    for measure in MEASURES:
        table[f"{measure}_z"] = robust_z(table[measure]).round(2)
    outlying = {measure: table[f"{measure}_z"].abs() > OUTLIER_Z for measure in MEASURES}
    table["outlier"] = [
        ", ".join(name for name in MEASURES if outlying[name].loc[row]) or None for row in table.index
    ]
    return table[list(COLUMNS)]


def robust_z(values: pd.Series[float]) -> pd.Series[float]:
    """Distance of each value from the median, in robust standard deviations (1.4826 MAD).

    Where more than half of the values are equal (no lesion, say) the MAD is 0, and 1.2533 times the mean
    absolute deviation takes its place, as Iglewicz and Hoaglin advise; where all are equal all are 0.

    Args:
        values: any unit; NaN stays NaN.

    Returns:
        NaN for all where fewer than `MIN_IMAGES` are known.
    """
    if values.notna().sum() < MIN_IMAGES:
        return values * np.nan
    deviation = values - values.median()
    scale = TO_SIGMA["median"] * deviation.abs().median() or TO_SIGMA["mean"] * deviation.abs().mean()
    return deviation / scale if scale else deviation


def _row(record: Record, report: Mapping[str, Any]) -> dict[str, Any]:
    lesion, brain = _number(report.get("lesion_ml")), _number(report.get("brain_ml"))
    anomaly = report.get("anomaly")
    scores = anomaly if isinstance(anomaly, Mapping) else {}
    low, high = _interval(report)
    return {
        "participant_id": record.subject,
        "session_id": session(record.name),
        "image": record.image,
        "lesion_ml": lesion,
        "lesion_ml_95_low": low,
        "lesion_ml_95_high": high,
        "lesion_caveat": str(report.get("lesion_caveat", NOT_MEASURED)),
        "brain_ml": brain,
        "lesion_percent": round(100 * lesion / brain, 3) if brain else np.nan,
        "anomaly_mean": _number(scores.get("mean")),
        "anomaly_p99": _number(scores.get("p99")),
        "warnings": "; ".join(" ".join(line.split()) for line in report.get("warnings", ())) or None,
    }


def _report(out: Path, record: Record) -> dict[str, Any]:
    """The run report of an image.

    Raises:
        InputError: it is damaged.
    """
    path, remedy = record.paths(out)["report"], "remove it and run the level participant again"
    report = read_json(path, "cannot be read as a run report", remedy)
    warnings = report.get("warnings", [])
    if not (isinstance(warnings, list) and all(isinstance(each, str) for each in warnings)):
        raise InputError(f"{path}: warnings are no list of texts; {remedy}")
    return report


def _interval(report: Mapping[str, Any]) -> tuple[float, float]:
    """The 95 % interval of the lesion's volume; NaN where the report has none."""
    uncertainty = report.get("uncertainty")
    ends = uncertainty.get("lesion_ml_95") if isinstance(uncertainty, Mapping) else None
    if not isinstance(ends, list) or len(ends) != 2:
        return np.nan, np.nan
    return _number(ends[0]), _number(ends[1])


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def _page(record: Record) -> str:
    """The page of an image, as a path inside OUT_DIR."""
    return record.files["page"]


def _why(out: Path, name: str, record: Record | None) -> str:
    if record is None:
        return without_record(out, name)
    return record.reason or "its files are no longer all there; run the level participant again"
