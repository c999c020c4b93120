"""A processed cohort as one HTML page that needs no network, with links to each subject's own page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from pseudohealthy.report.page import write_page
from pseudohealthy.report.table1.cells import is_measured, text

HEADS: Mapping[str, str] = {
    "lesion_ml": "lesion, ml",
    "lesion_ml_95_low": "lesion, ml: 95 % from",
    "lesion_ml_95_high": "lesion, ml: to",
    "brain_ml": "brain, ml",
    "lesion_percent": "lesion, % of brain",
    "anomaly_mean": "anomaly, mean",
    "anomaly_p99": "anomaly, 99th percentile",
    "lesion_ml_z": "z of lesion",
    "anomaly_mean_z": "z of anomaly",
}
WIDTH, HEIGHT, BINS = 360, 120, 24  # of a histogram, in SVG units

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Histogram:
    """Bars (x, y, width, height) in SVG units, the axis' ends, and the outliers' places on it."""

    name: str
    bars: list[tuple[float, float, float, float]]
    low: str
    high: str
    most: int
    marks: list[float]


def cohort_html(
    path: Path,
    title: str,
    rows: Sequence[Row],
    pages: Mapping[str, str],
    *,
    missing: Mapping[str, str],
    measures: Sequence[str],
) -> None:
    """Write the page of a cohort.

    Args:
        path: of the HTML file.
        title: of the page.
        rows: one for each image: `image`, `outlier`, `warnings`, `lesion_caveat` and the keys of `HEADS`;
            None where unknown.
        pages: by image, the path of its own page, relative to this one; "" for none.
        missing: why an image or subject has no row.
        measures: keys of the rows that get a histogram.

    Raises:
        PseudohealthyError: the file cannot be written.
    """
    columns = [key for key in HEADS if any(is_measured(row[key]) for row in rows)]
    histograms = [histogram(HEADS[key], rows, key) for key in measures if key in columns]
    write_page(
        path,
        "cohort.html.jinja",
        title=title,
        heads={key: HEADS[key] for key in columns},
        rows=rows,
        caveats=list(dict.fromkeys(row["lesion_caveat"] for row in rows if row["lesion_caveat"])),
        notable=[row for row in rows if row["outlier"] or row["warnings"]],
        links={image: quote(page) for image, page in pages.items()},
        missing=missing,
        histograms=histograms,
        width=WIDTH,
        height=HEIGHT,
    )


def histogram(name: str, rows: Sequence[Row], key: str) -> Histogram:
    """The measured values in equal bins; the highest bar fills the height."""
    values = [float(row[key]) for row in rows if is_measured(row[key])]
    counts, edges = np.histogram(values, bins=min(BINS, 2 * int(np.ceil(np.sqrt(len(values))))))
    low, span = edges[0], edges[-1] - edges[0]
    step, most = WIDTH / len(counts), int(counts.max())
    heights = [HEIGHT * float(count) / most for count in counts]
    bars = [(step * nth, HEIGHT - height, step, height) for nth, height in enumerate(heights) if height]
    outliers = [float(row[key]) for row in rows if is_measured(row[key]) and key in str(row["outlier"])]
    marks = [WIDTH * float((value - low) / span) for value in outliers]
    return Histogram(name, bars, text(float(low)), text(float(edges[-1])), most, marks)
