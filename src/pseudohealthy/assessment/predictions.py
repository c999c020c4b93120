"""Another program's images on one split of a prepared cohort: scored as a model's are, and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudohealthy.assessment.assess import judges_know, scores_of
from pseudohealthy.config import Split
from pseudohealthy.data.predicted_images import read_outputs
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.evaluation.compare import compare_scores, read_scores
from pseudohealthy.evaluation.score import write_scores
from pseudohealthy.evaluation.slice_set import SliceSet, rows_of
from pseudohealthy.synthesis.model import Model


def evaluate_predictions(
    prepared: Prepared,
    predictions: Path,
    folders: Sequence[Path],
    out: Path,
    *,
    split: Split = "val",
    judges: Mapping[str, Model] | None = None,
    compare: Path | None = None,
    steps: int = 0,
) -> dict[str, Any]:
    """Score images that any program made of a split's volumes (section 6).

    Args:
        prepared: the cohort.
        predictions: one image a volume, see `data.predicted_images.read_outputs`.
        folders: the data sets that the cohort was prepared from.
        out: gets `volumes.tsv` and `summary.json`, as `evaluate` writes them.
        split: every choice is made on "val"; "test" is read once a result.
        judges: f_pre by name, the paper's first; without one there is no healthiness.
        compare: scores of other outputs, see `compare_scores`.
        steps: of training for re-segmentability; 0: it is not measured.

    Returns:
        What `summary.json` holds: as for `evaluate`, with the folder's name in `predictions`, and under
        `compared` the tests.

    Raises:
        InputError: images, inputs or judges that cannot be used, or scores that cannot be compared.
    """
    judges = judges or {}
    judges_know(prepared, judges)
    case = SliceSet.of(prepared, split)
    others = None if compare is None else read_scores(compare)
    outputs = read_outputs(prepared, rows_of(prepared, split), predictions, folders)
    by_volume, summary = scores_of(prepared, case, outputs, judges, split=split, steps=steps)
    summary |= {"split": split, "predictions": predictions.resolve().name}
    if others is not None:
        summary["compared"] = compare_scores(by_volume, others)
    write_scores(out, by_volume, summary)
    return summary
