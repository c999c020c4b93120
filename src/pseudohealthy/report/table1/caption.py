"""What a reader must know of Table 1: whether it may be believed, what it shows, what its marks mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.report.table1 import paper
from pseudohealthy.report.table1.cells import get_path, is_measured, point_estimate, text
from pseudohealthy.report.table1.model import STAR, UNRELIABLE
from pseudohealthy.report.table1.test_summary import describe_tests

LEAST_SIDE = 176  # pixels of a slice's side that five scales of windows of 11 need
HEALTHINESS = (
    "Healthiness is by volume: the judge's mean count over the cohort's mean lesion size; pooled is the "
    "paper's form. Balance is the harmonic mean, by volume, of mask-normalised identity and the panel's mean "
    "healthiness within [0, 1]."
)
TEXTURE = (
    "Texture is the gradient energy inside the lesion's place over that of the mirrored place of the same "
    "output, the median over slices [95 % bootstrap interval over volumes]; a smooth patch is near 0, and an "
    "outline of the lesion that stayed raises it."
)
MARKS = (
    f"{STAR} better than the baseline of its test at 5 %. {UNRELIABLE} healthiness and balance are "
    "unreliable: lesions put into this method's outputs are not found by the judge as in real slices. "
    "↑ higher is better, ↓ lower is better."
)
BESIDE = (
    f"The paper's columns quote {paper.SOURCE}. Its data ({paper.DATA}), preprocessing and judge are not "
    "ours: the numbers stand side by side for orientation and cannot be compared digit by digit."
)


def title(table1: Mapping[str, Any]) -> str:
    """Of the whole report."""
    cohort = table1.get("cohort")
    return f"Pseudo-healthy synthesis on {cohort}" if cohort else "Pseudo-healthy synthesis"


def validity(table1: Mapping[str, Any]) -> str:
    """INVALID and why, unless the judge is recorded as valid; then nothing.

    Args:
        table1: `valid` says whether healthiness may be believed, `invalid_reason` why not; without a reason
            the judge's own figures are said.
    """
    valid = table1.get("valid")
    if valid:
        return ""
    if valid is None:
        return "INVALID: it is not recorded that the judge was checked. Do not rely on any healthiness here."
    reason = table1.get("invalid_reason")
    if not reason:
        keys = ("dice_pooled", "h_copy", "h_real_healthy")
        dice, copy, healthy = (text(point_estimate(get_path(table1, f"judge.{key}"))) for key in keys)
        reason = (
            f"the judge's pooled Dice is {dice}, its h(copy) {copy} and its h(real healthy) {healthy}, "
            "outside of what section 6 of docs/method.md asks for"
        )
    return f"INVALID: {str(reason).rstrip('.')}. Do not rely on any healthiness here."


def caption(table1: Mapping[str, Any]) -> list[str]:
    """The sentences under Table 1, the one of research use last.

    Args:
        table1: `split.test`, `preprocessing.slice_shape`, `judge`, `commit` and `commits` are read, and
            what `test_summary.describe_tests` reads; any may be missing.
    """
    return [
        _what(table1),
        f"{_identity(get_path(table1, 'preprocessing.slice_shape'))} {HEALTHINESS} {TEXTURE}",
        _judge(table1),
        " ".join([*describe_tests(table1), MARKS]),
        *_versions(table1),
        BESIDE,
        RESEARCH_USE,
    ]


def _what(table1: Mapping[str, Any]) -> str:
    number = get_path(table1, "split.test")
    volumes = f"{number} test volumes" if is_measured(number) else "the test volumes"
    if number == 1:
        return "Measures of 1 volume, which says nothing of spread."
    return f"Mean ± standard deviation over {volumes} [95 % bootstrap interval]."


def _identity(slice_shape: Sequence[int] | None) -> str:
    """How identity is measured, and to what slices of this shape are padded for it."""
    raised = "without which five scales cannot be computed and which raises the value"
    if not slice_shape:
        padding = f"slices are zero-padded where a side is under {LEAST_SIDE}, {raised}"
    else:
        size, padded = (
            _size(sides) for sides in (slice_shape, [max(side, LEAST_SIDE) for side in slice_shape])
        )
        padding = f"slices of {size} pixels are zero-padded to {padded}, {raised}"
        if size == padded:
            padding = f"slices of {size} pixels, not padded"
    return f"Identity is the masked MS-SSIM (window 11, five scales; {padding})."


def _size(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def _versions(table1: Mapping[str, Any]) -> list[str]:
    commits = table1.get("commits") or ()
    if table1.get("commit") is not None or len(commits) < 2:
        return []
    return [f"The steps were made by several versions of the code: {', '.join(map(str, commits))}."]


def _judge(table1: Mapping[str, Any]) -> str:
    names = {
        "dice_pooled": "Dice pooled",
        "dice_per_volume": "Dice by volume",
        "h_copy": "h(copy)",
        "h_real_healthy": "h(real healthy)",
    }
    values = {name: point_estimate(get_path(table1, f"judge.{key}")) for key, name in names.items()}
    figures = ", ".join(f"{name} {text(value)}" for name, value in values.items())
    losses = ", ".join(f"{loss:.2f} on {data}" for data, loss in paper.JUDGE_DICE_LOSS.items())
    return f"Judge f_pre: {figures} (the paper's judge: Dice loss {losses})."
