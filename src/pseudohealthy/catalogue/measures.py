"""The measures of Table 1: a row each, and no torch.

What each can and cannot tell: `docs/concepts/measures.md`.

A new measure is its code in `evaluation/`, its row here, its test, and its paragraph in that page:
`docs/howto/extend.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

# Themes: the tables that measures stand in
TABLE_1 = "Table 1"
OUTSIDE = "Outside the lesion, and what is left of it"
TRANSPLANTS = "Against a truth: a real lesion put into a healthy slice"
PHANTOMS = "Against a truth: phantoms"
MASK = "Does the reconstructor follow its mask?"
HEALTHY = "Healthy in, healthy out"
LESIONS = "Segmentation, detection and anomaly"
Ideal = Literal["higher", "lower", "zero", "one"]
Need = Literal["judge", "segmentor", "reconstructor", "truth", "healthy slices", "re-segmentation"]

SIGNS: Mapping[Ideal, str] = {"higher": " ↑", "lower": " ↓", "zero": " (0 is ideal)", "one": " (1 is ideal)"}


@dataclass(frozen=True)
class Measure:
    """A measure, as tables and pages know it.

    Attributes:
        label: what a reader knows it as.
        theme: the table that it stands in.
        ideal: higher or lower is better, or zero or one is ideal; None: it is read beside another measure.
        summary: one line: what it is.
        unit: "" for a ratio or an intensity in [0, 1].
        needs: what must be there beside images, masks and outputs.
        tested: Table 1 tests it against the baselines; greater is better.
        code: `module:function` that `evaluation.score` calls for each volume; None: it is computed otherwise.
    """

    label: str
    theme: str
    ideal: Ideal | None
    summary: str
    unit: str = ""
    needs: tuple[Need, ...] = ()
    tested: bool = False
    code: str | None = None

    @property
    def head(self) -> str:
        """The head of its column: label, unit and what is ideal."""
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.label}{unit}{SIGNS[self.ideal] if self.ideal else ''}"


def _of_truth(group: str, theme: str, lesions: str) -> Iterator[tuple[str, Measure]]:
    """Errors against a known truth in three regions."""
    kinds: tuple[tuple[str, str, Ideal, str], ...] = (
        ("psnr", "peak signal-to-noise ratio against the truth", "higher", "dB"),
        ("ssim", "structural similarity with the truth", "higher", ""),
        ("mae", "mean absolute error against the truth", "lower", ""),
    )
    places = {"inside": "inside", "rim": "within 5 mm of", "outside": "further than 5 mm from"}
    for region, place in places.items():
        where = f"{place} {lesions}"
        for name, summary, ideal, unit in kinds:
            label = f"{name.upper()} {where}"
            yield f"{group}.{region}.{name}", Measure(label, theme, ideal, summary, unit, ("truth",))
    ratio = "mean absolute error inside the lesion over that of the input: 1 for a copy"
    label = f"MAE inside {lesions}, over the input's"
    yield f"{group}.mae_ratio", Measure(label, theme, "lower", ratio, needs=("truth",))


# By dotted path in a row of `table1.json`, in the order of the columns. What lies under a path belongs to it.
MEASURES: Mapping[str, Measure] = {
    "identity": Measure(
        "identity",
        TABLE_1,
        "higher",
        "MS-SSIM of input and output, the lesion blacked out in both",
        tested=True,
    ),
    "healthiness": Measure(
        "healthiness",
        TABLE_1,
        "higher",
        "1 minus the lesion that the judge finds in the output, over the mean lesion, by volume",
        needs=("judge",),
        tested=True,
    ),
    "healthiness.pooled": Measure(
        "healthiness, pooled",
        TABLE_1,
        "higher",
        "healthiness of all volumes together, the paper's form",
        needs=("judge",),
    ),
    "healthiness.rel": Measure(
        "healthiness relative to input",
        TABLE_1,
        "higher",
        "pooled healthiness against what the judge finds in the input: 0 for a copy",
        needs=("judge",),
    ),
    "healthiness.panel_mean": Measure(
        "healthiness, panel mean",
        TABLE_1,
        "higher",
        "mean of the pooled healthiness by each judge of the panel",
        needs=("judge",),
    ),
    "healthiness.panel_worst": Measure(
        "healthiness, panel worst",
        TABLE_1,
        "higher",
        "the least pooled healthiness by a judge of the panel",
        needs=("judge",),
    ),
    "healthiness.held_out": Measure(
        "healthiness, held-out judge",
        TABLE_1,
        "higher",
        "pooled healthiness by a judge that was used for no choice",
        needs=("judge",),
    ),
    "healthiness.insertion_recall": Measure(
        "insertion recall",
        TABLE_1,
        "higher",
        "share of lesions put into the outputs that the judge finds",
        needs=("judge",),
    ),
    "balance": Measure(
        "balance",
        TABLE_1,
        "higher",
        "harmonic mean of mask-normalised identity and the panel's healthiness",
        needs=("judge",),
        tested=True,
    ),
    "texture": Measure(
        "texture",
        TABLE_1,
        "one",
        "gradient energy inside the lesion's place over that of the mirrored place, median over slices; a "
        "smooth patch is near 0",
    ),
    "identity_normalised": Measure(
        "mask-normalised MS-SSIM",
        OUTSIDE,
        "higher",
        "MS-SSIM over brain pixels outside the lesion only",
    ),
    "psnr_outside": Measure(
        "PSNR outside",
        OUTSIDE,
        "higher",
        "peak signal-to-noise ratio of output and input outside the lesion",
        "dB",
    ),
    "mae_outside": Measure(
        "MAE outside",
        OUTSIDE,
        "lower",
        "mean absolute difference of output and input outside the lesion",
    ),
    "residual_contrast": Measure(
        "residual contrast",
        OUTSIDE,
        "zero",
        "mean inside the lesion's place minus mean of the 5 mm of brain around it",
    ),
    "reseg_auroc": Measure(
        "re-segmentability, AUROC",
        OUTSIDE,
        "lower",
        "how well a fresh network finds the lesion's place in the outputs",
        needs=("re-segmentation",),
    ),
    "reseg_auroc_coordinates": Measure(
        "AUROC of coordinates alone",
        OUTSIDE,
        None,
        "how well the same network finds it without an image",
        needs=("re-segmentation",),
    ),
    "reseg_excess_auroc": Measure(
        "re-segmentability above coordinates",
        OUTSIDE,
        "zero",
        "AUROC of a fresh network that looks for the lesion's place, above that of coordinates alone",
        needs=("re-segmentation",),
    ),
    "checkerboard": Measure(
        "checkerboard against input",
        OUTSIDE,
        "one",
        "power at periods of 2 and 4 pixels over the input's",
        code="pseudohealthy.evaluation.checkerboard:checkerboard",
    ),
    "through_plane_inconsistency": Measure(
        "through-plane inconsistency against input",
        OUTSIDE,
        "one",
        "change from slice to slice over the input's own",
        code="pseudohealthy.evaluation.through_plane:through_plane_inconsistency",
    ),
    **dict(_of_truth("truth_transplant", TRANSPLANTS, "transplanted lesions")),
    **dict(_of_truth("truth_phantom", PHANTOMS, "phantom lesions")),
    "cycle.l1": Measure(
        "cycle L1",
        MASK,
        "lower",
        "mean absolute difference of input and reconstruction",
        needs=("reconstructor",),
    ),
    "cycle.location_dice": Measure(
        "lesion's place after the cycle, Dice",
        MASK,
        "higher",
        "overlap of what the judge finds in input and reconstruction",
        needs=("reconstructor", "judge"),
    ),
    "cycle.l1_quantised": Measure(
        "cycle L1, rounded",
        MASK,
        "lower",
        "cycle L1 after rounding and noise, which a hidden lesion does not survive",
        needs=("reconstructor",),
    ),
    "cycle.location_dice_quantised": Measure(
        "lesion's place after the cycle, rounded, Dice",
        MASK,
        "higher",
        "that overlap after rounding and noise, which a hidden lesion does not survive",
        needs=("reconstructor", "judge"),
    ),
    "mask_control.residual_without_mask": Measure(
        "lesion left by an empty mask",
        MASK,
        "lower",
        "lesion that the judge finds in a reconstruction from no mask",
        needs=("reconstructor", "judge"),
    ),
    "mask_control.moved_mask_dice": Measure(
        "lesion at a moved mask, Dice",
        MASK,
        "higher",
        "overlap of a moved mask and what the judge finds in the reconstruction from it",
        needs=("reconstructor", "judge"),
    ),
    "mask_control.leak_at_original_site": Measure(
        "share left at the old place by a moved mask",
        MASK,
        "lower",
        "share of the old place that the judge still finds in that reconstruction",
        needs=("reconstructor", "judge"),
    ),
    "healthy_in.mae": Measure(
        "MAE of healthy slices",
        HEALTHY,
        "lower",
        "mean absolute change of a healthy slice inside the brain",
        needs=("healthy slices",),
    ),
    "healthy_in.ms_ssim": Measure(
        "MS-SSIM of healthy slices",
        HEALTHY,
        "higher",
        "MS-SSIM of a healthy slice and its output",
        needs=("healthy slices",),
    ),
    "healthy_in.false_positive_voxels": Measure(
        "marked by the segmentor in a healthy slice",
        HEALTHY,
        "lower",
        "what the segmentor marks in a healthy slice",
        "voxels",
        ("healthy slices", "segmentor"),
    ),
    "healthy_in.reconstructed_mae": Measure(
        "MAE of healthy slices reconstructed from no mask",
        HEALTHY,
        "lower",
        "mean absolute change of a healthy slice by the reconstructor, given no mask",
        needs=("healthy slices", "reconstructor"),
    ),
    "segmentor_dice": Measure(
        "Dice of the segmentor",
        LESIONS,
        "higher",
        "overlap of the segmentor's mask and the true one",
        needs=("segmentor",),
    ),
    "anomaly_auprc": Measure(
        "AUPRC of |input - output|",
        LESIONS,
        "higher",
        "how well the change ranks lesion above other brain",
    ),
    "anomaly_auprc_flair": Measure(
        "AUPRC of the input",
        LESIONS,
        None,
        "how well the input's brightness ranks lesion above other brain",
    ),
    "detection.rate": Measure(
        "lesions detected",
        LESIONS,
        "higher",
        "share of lesions of which the segmentor marks a tenth or more",
        needs=("segmentor",),
    ),
    "detection.false_alarms_per_slice": Measure(
        "false alarms a slice",
        LESIONS,
        "lower",
        "marked regions that touch no lesion",
        needs=("segmentor",),
    ),
    "detection.by_size": Measure(
        "lesions by mm²",
        LESIONS,
        None,
        "lesions, and how many of them are detected, by their area in a slice",
        needs=("segmentor",),
    ),
}
THEMES: tuple[str, ...] = tuple(dict.fromkeys(measure.theme for measure in MEASURES.values()))
MAIN = tuple(key for key, measure in MEASURES.items() if measure.theme == TABLE_1)
TESTED = tuple(key for key, measure in MEASURES.items() if measure.tested)


def key_of(path: str) -> str | None:
    """The measure that a dotted path of a row belongs to: its own, else the nearest above; None: none."""
    while path and path not in MEASURES:
        path = path.rpartition(".")[0]
    return path or None


def head_of(path: str) -> str:
    """The head of a path's column; below a measure, or unknown: with its own words."""
    key = key_of(path)
    rest = path.removeprefix(key or "").replace(".", " ").replace("_", " ").strip()
    return " ".join(filter(None, (MEASURES[key].head if key else "", rest)))


def rests_on_judge(key: str) -> bool:
    """Whether it says nothing where the judge cannot be relied on."""
    return "judge" in MEASURES[key].needs
