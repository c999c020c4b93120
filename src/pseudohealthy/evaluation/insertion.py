"""Known lesions put into slices: truth by transplantation, and the insertion check of a judge.

A real lesion is put into a healthy slice, whose truth is then known; or into a method's outputs, where a
judge must find it as it finds it in real healthy slices, else the method's healthiness is unreliable. See
section 6 of docs/method.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.by_volume import Rows, by_volume
from pseudohealthy.evaluation.pixelwise import mean_over
from pseudohealthy.evaluation.slice_set import SliceSet

Mask = NDArray[np.bool_]
Points = NDArray[np.intp]

NEAREST = 10  # donors in height, of those that fit, among which the seed draws
TIES = 1  # of the seed, for those equally near
HEIGHTS_APART = 0.1  # greatest difference of heights, of the brain's, at which slices match
MARGIN = 2.0  # mm to the brain's border that most of a lesion keeps
LEAST_INSIDE = 0.9  # least share of a lesion inside the recipient's brain less the margin
OVERLAP = 0.1  # greatest share of a lesion on a place to be avoided
FEATHER = 2.0  # mm over which a lesion fades in
LEAST = 50.0  # mm2; too small a lesion says little of a judge
TOLERANCE = 0.05  # of recall, under that on real healthy slices
COLUMNS = {  # of a plan
    "recipient": np.intp,
    "donor": np.intp,
    "rows": np.intp,
    "cols": np.intp,
    "flipped": np.bool_,
    "inside_brain": np.float64,
    "height_difference": np.float64,
}
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class _Lesion:
    """A lesion in its donor's slice.

    Attributes:
        points: (2, A), its rows and columns, in the brain.
        box: first and last row, first and last column of the brain, (2, 2).
    """

    points: Points
    box: Points

    @classmethod
    def of(cls, mask: Mask, brain: Mask) -> Self:
        return cls(np.array(np.nonzero(mask & brain)), _box(brain))

    def turned(self, flipped: bool) -> Points:
        """Its points, mirrored about the middle column of the box if `flipped`."""
        rows, columns = self.points
        return np.stack([rows, self.box[1].sum() - columns]) if flipped else self.points


@dataclass(frozen=True, eq=False)
class _Place:
    """A recipient's slice: its brain, that less the margin, what to keep off (H, W), and the brain's box."""

    brain: Mask
    core: Mask
    avoid: Mask
    box: Points

    @classmethod
    def of(cls, brain: Mask, avoid: Mask, margin: int) -> Self:
        return cls(brain, binary_erosion(brain, iterations=margin), avoid, _box(brain))


def plan_insertions(
    donors: SliceSet, recipients: SliceSet, *, seed: int, least: float = LEAST
) -> pd.DataFrame:
    """Which lesion goes into which slice, and where.

    A lesion comes from another subject and keeps its place relative to the box around the brain of the slice,
    to a whole pixel; it is mirrored left-right where it fits better so. At least 90 % of it must lie inside
    the recipient's brain eroded by 2 mm (to a whole pixel, and one at least), and at most 10 % on the
    recipient's own lesion. Among the 10 donors of nearest height that fit so, and lie no more than a tenth of
    the brain's height away, the seed draws one, for each recipient anew; it draws the 10 where more are
    equally near.

    Args:
        donors: slices with lesions; their heights must be known.
        recipients: as `donors`, of the same spacing; healthy slices, or others' lesions come beside theirs.
        seed: of the draw.
        least: area of the smallest lesion to insert, in mm2.

    Returns:
        A row a recipient, without those for which none fits: `recipient` and `donor` (places in the sets),
        `rows` and `cols` (the shift, after mirroring about the middle of the box around the donor's brain if
        `flipped`), `inside_brain` (the share of the lesion inside the recipient's brain), `height_difference`
        (between both slices' heights, in [0, 0.1]).

    Raises:
        InputError: heights that are not known.
    """
    spacing, heights = recipients.spacing[0], recipients.required("heights")
    lesions = _usable(donors.masks > 0, donors.brains, least / spacing**2)
    margin = max(1, round(MARGIN / spacing))
    rows = []
    for r, (brain, avoid) in enumerate(zip(recipients.brains, recipients.masks > 0, strict=True)):
        rng = np.random.default_rng((seed, r, TIES))
        near = _by_height(donors, recipients.subjects[r], float(heights[r]), rng)
        near = {d: apart for d, apart in near.items() if d in lesions}
        fitting = _fitting(list(near), lesions, _Place.of(brain, avoid, margin))
        if fitting:
            drawn = fitting[int(np.random.default_rng((seed, r)).integers(len(fitting)))]
            rows.append({"recipient": r} | drawn | {"height_difference": near[drawn["donor"]]})
    return pairs_of(rows)


def pairs_of(rows: Sequence[Mapping[str, Any]] = ()) -> pd.DataFrame:
    """A plan of these rows, or of none."""
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def insert(
    recipients: SliceSet,
    donors: SliceSet,
    pairs: pd.DataFrame,
    *,
    images: NDArray[Any] | None = None,
    feather: float = FEATHER,
) -> SliceSet:
    """Put the lesions of `plan_insertions` into their slices.

    The lesion's intensities are scaled by the ratio of the medians of the tissue outside lesions, recipient
    over donor, and cut to [0, 1]. The lesion fades in inside its own mask, over `feather` from its border;
    outside the mask no bit changes.

    Args:
        recipients: R slices; their own lesions do not count as tissue.
        donors: slices with lesions.
        pairs: P rows of `plan_insertions`.
        images: (R, H, W) in [0, 1], what the lesions are put into, such as a method's outputs; None: the
            recipients themselves.
        feather: in mm; 0: a hard border.

    Returns:
        P slices with a lesion; their masks say where it was put, limited to the recipient's brain, and their
        truth is the image before.

    Raises:
        InputError: a donor without tissue of any brightness outside its lesion.
    """
    before = recipients.images if images is None else images
    rows = pairs["recipient"].to_numpy(np.intp)
    made = before[rows].copy()
    inserted = np.zeros(made.shape, dtype=np.bool_)
    donor_brains, recipient_brains = donors.brains, recipients.brains
    for i, pair in enumerate(pairs.to_dict("records")):
        d, r = int(pair["donor"]), int(pair["recipient"])
        mask, brain, target = donors.masks[d] > 0, donor_brains[d], recipient_brains[r]
        lesion = _Lesion.of(mask, brain)
        points = lesion.turned(bool(pair["flipped"])) + np.array([[pair["rows"]], [pair["cols"]]])
        inside = _at(target, points)
        to, source = tuple(points[:, inside]), tuple(lesion.points[:, inside])
        tissue = target & ~(recipients.masks[r] > 0)
        scale = _median(before[r], tissue) / _brightness(d, donors.images[d], brain & ~mask)
        inserted[i][to] = True
        pixels = feather / recipients.spacing[0]
        weight = np.minimum(1, distance_transform_edt(inserted[i])[to] / (pixels + 1))
        synthetic = np.clip(scale * donors.images[d][source].astype(np.float64), 0, 1)
        made[i][to] = weight * synthetic + (1 - weight) * made[i][to]
    return replace(recipients.at(rows), images=made, masks=inserted, truth=before[rows])


def insertion_recall(judged: NDArray[Any], inserted: NDArray[Any], volumes: ArrayLike) -> pd.DataFrame:
    """How much of the inserted lesions a judge finds.

    Args:
        judged: what it finds in the slices with lesions put in, (P, H, W), > 0.
        inserted: where they were put, (P, H, W), > 0.
        volumes: labels of the slices, (P,).

    Returns:
        A row a volume, column `insertion_recall`: the share of inserted pixels found, pooled over the
        volume's slices; NaN where nothing was inserted.
    """

    def measured(rows: Rows) -> dict[str, float]:
        return {"insertion_recall": pooled_recall(judged[rows], inserted[rows])}

    return by_volume(volumes, measured)


def pooled_recall(judged: NDArray[Any], inserted: NDArray[Any]) -> float:
    """Share of all inserted pixels found; NaN where nothing was inserted. Arguments as above."""
    return float(mean_over((judged > 0)[None], (inserted > 0)[None])[0])


def unreliable(recall: float, reference: float) -> bool:
    """Is a method's healthiness unreliable, its judge being blind in the method's outputs?

    Args:
        recall: the judge's pooled recall of lesions put into the outputs.
        reference: the same judge's, of lesions put into real healthy slices.

    Returns:
        True where `recall` is more than 0.05 under `reference`, or either is not known (NaN).
    """
    return not reference - recall <= TOLERANCE + _ROUNDING


def _usable(masks: Mask, brains: Mask, least: float) -> dict[int, _Lesion]:
    """Lesions by place that have `least` pixels and leave tissue to compare with."""
    sizes = np.count_nonzero(masks & brains, axis=(1, 2))
    tissue = (brains & ~masks).any(axis=(1, 2))
    usable = np.flatnonzero((sizes >= max(least - _ROUNDING, 1)) & tissue)
    return {int(d): _Lesion.of(masks[d], brains[d]) for d in usable}


def _by_height(donors: SliceSet, subject: Any, height: float, rng: np.random.Generator) -> dict[int, float]:
    """Places of the donors of other subjects, the nearest height first, and how far off it is.

    Where so many are equally near that the first few would always be the same, as in a cohort of one slice a
    patient, `rng` orders them.
    """
    distance = np.abs(donors.required("heights").astype(np.float64) - height)
    matched = distance <= HEIGHTS_APART + _ROUNDING
    matched &= donors.subjects != subject
    order = np.argsort(distance, kind="stable")
    if np.count_nonzero(distance[matched] == distance[matched].min(initial=np.inf)) > NEAREST:
        order = np.lexsort((rng.random(len(distance)), distance))
    return {int(d): float(distance[d]) for d in order if matched[d]}


def _fitting(near: list[int], lesions: dict[int, _Lesion], place: _Place) -> list[dict[str, Any]]:
    """How each of the first donors that fit would be put in."""
    fitting: list[dict[str, Any]] = []
    if not place.core.any():
        return fitting
    for d in near:
        found = _best_fit(lesions[d], place)
        if found is not None:
            fitting.append({"donor": d} | found)
        if len(fitting) == NEAREST:
            break
    return fitting


def _best_fit(lesion: _Lesion, place: _Place) -> dict[str, Any] | None:
    """The better way round of a lesion, as it is if both are as good; None where neither fits."""
    best, best_score = None, -np.inf
    for flipped in (False, True):
        points = lesion.turned(flipped)
        shift = _shift(points, lesion.box, place.box)
        moved = points + shift[:, None]
        core, avoided = _at(place.core, moved).mean(), _at(place.avoid, moved).mean()
        fits = core >= LEAST_INSIDE - _ROUNDING and avoided <= OVERLAP + _ROUNDING
        if fits and core - avoided > best_score + _ROUNDING:
            inside_brain = float(_at(place.brain, moved).mean())
            best = {
                "rows": int(shift[0]),
                "cols": int(shift[1]),
                "flipped": flipped,
                "inside_brain": inside_brain,
            }
            best_score = core - avoided
    return best


def _shift(points: Points, source: Points, target: Points) -> Points:
    """Whole pixels that bring the points' centre to the same place relative to the other box, (2,)."""
    centre = points.mean(axis=1)
    relative = (centre - source[:, 0]) / np.maximum(source[:, 1] - source[:, 0], 1)
    wanted = target[:, 0] + relative * (target[:, 1] - target[:, 0])
    shift: Points = np.round(wanted - centre).astype(np.intp)
    return shift


def _box(brain: Mask) -> Points:
    """First and last row, first and last column of a brain (H, W), (2, 2); zeros of an empty one."""
    ends = [np.flatnonzero(brain.any(axis=axis))[[0, -1]] for axis in (1, 0)] if brain.any() else [[0, 0]] * 2
    return np.array(ends, dtype=np.intp)


def _at(mask: Mask, points: Points) -> Mask:
    """(A,): which of the points (2, A) lie on the mask (H, W); those outside the image do not."""
    rows, columns = points
    height, width = mask.shape
    within = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    found = np.zeros(len(rows), dtype=np.bool_)
    found[within] = mask[rows[within], columns[within]]
    return found


def _median(image: NDArray[Any], tissue: Mask) -> float:
    return float(np.median(image[tissue])) if tissue.any() else 0.0


def _brightness(donor: int, image: NDArray[Any], tissue: Mask) -> float:
    found = _median(image, tissue)
    if found <= 0:
        raise InputError(
            f"donor {donor}: the tissue outside its lesion has median {found:.4g}, expected more than 0; "
            "leave it out of the donors"
        )
    return found
