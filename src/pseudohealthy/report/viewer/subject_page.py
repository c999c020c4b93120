"""One subject's page: four or five linked views that work offline, numbers, and a mosaic for print."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pseudohealthy.errors import InputError
from pseudohealthy.files import flatten
from pseudohealthy.report.page import write_page
from pseudohealthy.report.viewer.nifti_embed import Embedded
from pseudohealthy.threads import in_threads

Kind = Literal["input", "healthy", "difference", "probability", "uncertainty"]
Volumes = Mapping[Kind, Path | nibabel.Nifti1Image]  # files, or images in memory

FOLDER = Path(__file__).parent
KINDS: tuple[Kind, ...] = ("input", "healthy", "difference", "probability")  # of every page
# parts of its largest value to which a volume is rounded; the second where a page would be large otherwise
LEVELS: dict[Kind, int] = {"difference": 1000, "probability": 1000, "uncertainty": 1000}
LARGE_LEVELS: dict[Kind, int] = {**LEVELS, "input": 32767, "healthy": 32767}
LARGE = 50_000_000  # characters of all volumes
LESION = 0.5  # probability above which a voxel counts, as in the lesion volume
_THROUGH_PLANE = {
    "through_plane_inconsistency": "Through-plane inconsistency (flicker) of voxels",
    "brightness_inconsistency": "Through-plane inconsistency of slices' brightness",
}
_NOT_PROVENANCE = (
    *("lesion_ml", "lesion_caveat", "brain_ml", "anomaly", *_THROUGH_PLANE),
    *("uncertainty", "warnings", "research_use", "files"),
)


def viewer_html(
    path: Path,
    title: str,
    volumes: Volumes,
    report: Mapping[str, Any],
    mosaic: Path | bytes | None = None,
) -> None:
    """Write one HTML file that holds a viewer (NiiVue) and the volumes, and needs neither network nor server.

    Input and healthy image are in it as stored, the other volumes rounded to 1/1000 of their largest value.
    A skull-stripped volume of 240 x 240 x 155 voxels takes 10 to 20 MB. Of a whole head with noise all
    around (`LARGE`) input and healthy image are rounded too, if of more than 16 bits, to 1/32767 of their
    largest value, and the page takes about 50 MB. It says what was rounded to what.

    Args:
        path: of the HTML file.
        title: such as the input's name.
        volumes: NIfTI files or images on one grid, of each of `KINDS`; "uncertainty" where there is one.
        report: of the run. `lesion_ml`, `brain_ml`, `anomaly` (parts of the intensity range),
            `through_plane_inconsistency` and `brightness_inconsistency` (over the input's) become the table
            of numbers, with `lesion_caveat` beside it, `warnings` (a sequence) stand at the top, all others
            are provenance.
        mosaic: PNG for print, and for browsers without WebGL 2.

    Raises:
        InputError: a volume or the mosaic cannot be read, or the volumes are not on one grid.
        PseudohealthyError: the file cannot be written.
    """
    write_page(
        path,
        "viewer.html.jinja",
        **_of_volumes(volumes),
        title=title,
        warnings=list(report.get("warnings") or ()),
        numbers=_numbers(report),
        caveat=report.get("lesion_caveat"),
        provenance=_provenance(report),
        mosaic=None if mosaic is None else _encoded(mosaic),
        scripts={name: _static(name) for name in ("niivue.umd.js", "viewer.js")},
        licence=_static("niivue.LICENSE.txt"),
    )


def _of_volumes(volumes: Volumes) -> dict[str, Any]:
    """What the page says of the volumes; their voxels are not kept, so that writing it takes less memory."""
    embedded = _embedded(volumes)
    _check_grids(volumes, embedded)
    return {
        "volumes": {kind: each.text for kind, each in embedded.items()},
        "steps": {kind: f"{each.step:.2g}" for kind, each in embedded.items() if each.step},
        "settings": _settings(embedded),
    }


def _embedded(volumes: Volumes) -> dict[Kind, Embedded]:
    def of(levels: Mapping[Kind, int]) -> dict[Kind, Embedded]:  # gzip and numpy leave the other threads free
        made = in_threads(lambda kind: Embedded.of(volumes[kind], levels.get(kind)), volumes, os.cpu_count())
        return dict(zip(volumes, made, strict=True))

    embedded = of(LEVELS)
    if sum(len(each.text) for each in embedded.values()) <= LARGE:
        return embedded
    return of(LARGE_LEVELS)


def _check_grids(volumes: Volumes, embedded: Mapping[Kind, Embedded]) -> None:
    first = embedded["input"]
    for kind, other in embedded.items():
        if other.stored.shape != first.stored.shape or not np.allclose(other.affine, first.affine, atol=1e-3):
            named, reference = (
                str(each) if isinstance(each, Path) else of_kind
                for of_kind, each in ((kind, volumes[kind]), ("input", volumes["input"]))
            )
            raise InputError(f"{named}: not on the grid of {reference}; expected the volumes of one run")


def _settings(embedded: Mapping[Kind, Embedded]) -> dict[str, Any]:
    """How the views begin: the grey window, where the colours end, the cross-hairs in mm."""
    x = embedded["input"]
    work: dict[str, Callable[[], Any]] = {
        "window": lambda: _window(x),
        "largest": lambda: _extent(embedded["difference"]),
        "widest": lambda: _extent(embedded["uncertainty"]) if "uncertainty" in embedded else 1.0,
        "start": lambda: _start(x, embedded["probability"]),
    }
    done = in_threads(lambda name: work[name](), work, os.cpu_count())
    return {**dict(zip(work, done, strict=True)), "to_voxel": np.linalg.inv(x.affine)[:3].tolist()}


def _start(x: Embedded, probability: Embedded) -> list[float]:
    """The place, in mm, of a voxel in the lesion, or else in the brain."""
    lesion = probability.where(lambda p: p > LESION)
    voxel = _middle(lesion if lesion.any() else x.where(lambda x: x > 0))
    return list((x.affine[:3, :3] @ voxel + x.affine[:3, 3]).tolist())


def _window(x: Embedded) -> list[float]:
    """The values that are black and white."""
    darkest = min(0.0, _percentile(x.values(), 0.5)) if x.where(lambda x: x < 0).any() else 0.0
    return [darkest, _percentile(x.values(x.where(lambda x: x > 0)), 99.5) or 1.0]


def _extent(volume: Embedded) -> float:
    """What nearly all of its values that are not 0 stay below, without their sign."""
    return _percentile(np.abs(volume.values(volume.where(lambda values: values != 0))), 99.5) or 1.0


def _middle(mask: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Of the largest connected part, the voxel nearest to its centre, which itself may lie outside.

    The image's middle where the mask is empty.
    """
    if not mask.any():
        return np.array(mask.shape) // 2
    used = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    corner = [places[0] for places in used]
    within = tuple(slice(places[0], places[-1] + 1) for places in used)
    labels, _ = ndimage.label(np.ascontiguousarray(mask[within]))
    part = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    centre = ndimage.center_of_mass(part)
    axes = [(np.arange(side) - middle) ** 2 for side, middle in zip(part.shape, centre, strict=True)]
    distance = np.where(part, sum(np.ix_(*axes)), np.inf)
    nearest: NDArray[np.int_] = np.array(np.unravel_index(distance.argmin(), part.shape)) + corner
    return nearest


def _percentile(values: Any, percent: float) -> float:
    return float(f"{np.percentile(values, percent):.3g}") if values.size else 0.0


def _numbers(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of what, how much in ml, how much in %."""
    lesion, brain = report.get("lesion_ml"), report.get("brain_ml")
    percent = f"{100 * lesion / brain:.2f} % of the brain" if lesion is not None and brain else "–"
    rows = [("Lesion: probability above 0.5", "–" if lesion is None else f"{lesion:.2f} ml", percent)]
    intervals: Mapping[str, Any] = report.get("uncertainty") or {}
    for level in ("68", "95") if intervals else ():
        least, greatest = intervals[f"lesion_ml_{level}"]
        rows.append((f"Lesion: {level} % interval", f"{least:.2f} to {greatest:.2f} ml", "–"))
    if brain is not None:
        rows.append(("Brain", f"{brain:.1f} ml", "100 %"))
    anomaly = report.get("anomaly")
    parts = anomaly if isinstance(anomaly, Mapping) else {} if anomaly is None else {"mean": anomaly}
    for name, value in ((name, value) for name, value in parts.items() if value is not None):
        rows.append(
            (f"Change within the brain: {_spaced(name)}", "–", f"{100 * value:.2f} % of the intensity range")
        )
    ratios = ((words, report.get(key)) for key, words in _THROUGH_PLANE.items())
    rows += [(words, "–", f"{100 * ratio:.0f} % of the input's own") for words, ratio in ratios if ratio]
    return rows


def _provenance(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    flat = flatten({key: value for key, value in report.items() if key not in _NOT_PROVENANCE}, ", ")
    return [(_spaced(path), "–" if value is None else str(value)) for path, value in flat.items()]


def _spaced(name: str) -> str:
    return str(name).replace("_", " ")


def _encoded(mosaic: Path | bytes) -> str:
    if isinstance(mosaic, bytes):
        return base64.b64encode(mosaic).decode("ascii")
    try:
        return _encoded(mosaic.read_bytes())
    except OSError as error:
        raise InputError(f"{mosaic}: the mosaic cannot be read ({error.strerror}); draw it again") from error


def _static(name: str) -> str:
    return (FOLDER / "static" / name).read_text(encoding="utf-8")
