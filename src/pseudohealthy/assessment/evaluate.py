"""A model, or another program's images, on one split of a prepared cohort: measured, compared, written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pseudohealthy.assessment.assess import assess, summary_of
from pseudohealthy.assessment.predictors import FilePredictor, ImageFiles, ModelPredictor
from pseudohealthy.assessment.protocol import EvaluationProtocol, ProtocolSettings, expect_same_preprocessing
from pseudohealthy.assessment.references import References, judge_quality, validity
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.evaluation.compare import compare_scores, read_scores
from pseudohealthy.evaluation.score import refuse_existing_scores, write_scores
from pseudohealthy.locks import folder_lock
from pseudohealthy.provenance import provenance
from pseudohealthy.synthesis.model import Model


def evaluate(
    prepared: Prepared,
    source: Model | ImageFiles,
    out: Path,
    settings: ProtocolSettings | None = None,
    *,
    judges: Mapping[str, Model] | None = None,
    compare: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Score a model's raw output, or images, on the pathological slices of a split (section 6).

    Args:
        prepared: the cohort.
        source: a model with a generator, or another program's images of the split's volumes.
        out: gets `volumes.tsv` (one row a volume) and `summary.json`.
        settings: split, held-out judge, re-segmentation; None: validation, without re-segmentation.
        judges: f_pre by name, the paper's first, trained on slices prepared as the model's; without one there
            is no healthiness. The held-out one is reported apart from the panel of the others.
        compare: scores of other outputs, see `compare_scores`.
        overwrite: replace the scores that `out` holds.

    Returns:
        What `summary.json` holds: each measure as a row of `table1.json` has it, and provenance; with a judge
        also its quality under `judge`, and whether it is `valid`; with `compare` the tests, under `compared`.

    Raises:
        InputError: the split has no pathological slice, the cohort was prepared in another way than the
            model's or a judge's, images that cannot be used, scores that cannot be compared, or scores in
            `out` that must not be replaced.
    """
    judges, settings = judges or {}, settings or ProtocolSettings()
    refuse_existing_scores(out, overwrite=overwrite)
    if isinstance(source, Model):
        expect_same_preprocessing(prepared, source, "model")
    for name, judge in judges.items():
        expect_same_preprocessing(prepared, judge, "judge" if name == "judge" else f"judge {name}")
    protocol = EvaluationProtocol.of_lesions(prepared, judges, settings)
    others = None if compare is None else read_scores(compare)
    predictor, made_by = _predictor(source, prepared, protocol)
    references = References.of(protocol)
    assessment = assess(predictor, protocol, references)
    judged = _of_first_judge(protocol, references)
    summary = {
        **summary_of(assessment, judged["judge"]["insertion_recall"] if judged else None),
        **provenance(),
        **judged,
        "cohort": prepared.manifest["cohort"],
        "data": prepared.manifest["key"],
        "split": settings.split,
        **made_by,
    }
    if others is not None:
        summary["compared"] = compare_scores(assessment.table, others)
    with folder_lock(out):
        refuse_existing_scores(out, overwrite=overwrite)  # another run may have written them meanwhile
        write_scores(out, assessment.table, summary)
    return summary


def _predictor(
    source: Model | ImageFiles, prepared: Prepared, protocol: EvaluationProtocol
) -> tuple[ModelPredictor | FilePredictor, dict[str, Any]]:
    """What makes the images, and what the summary says of it."""
    x = protocol.pathological
    if isinstance(source, ImageFiles):
        files = FilePredictor.read(source, prepared, protocol.settings.split, x)
        return files, {"predictions": source.folder.resolve().name}
    model = ModelPredictor(source)
    began = time.perf_counter()
    model.synthesize(x)  # it keeps what it has made
    seconds = time.perf_counter() - began
    return model, {"seconds_a_slice": seconds / len(x), "model": source.provenance}


def _of_first_judge(protocol: EvaluationProtocol, references: References) -> dict[str, Any]:
    """What the paper's judge is worth and whether it may be believed; nothing without one."""
    if not protocol.judges:
        return {}
    name = next(iter(protocol.judges))
    quality = judge_quality(protocol, name, references.judged[name])
    weights = {"weights": protocol.first_judge.provenance}
    return {"judge": {**quality, **weights}, **validity(quality)}
