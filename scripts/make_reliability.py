"""Writes the measured parts of `docs/reliability.md` from `results/reliability`: `make results`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pseudohealthy.json_files import read_json
from scripts.measured_blocks import made_at, markdown, refilled, short

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs/reliability.md", ROOT / "results/reliability"
PHANTOMS = {
    "phantoms_1_mm": "phantom controls, voxels of 1 mm",
    "phantoms_2_mm": "phantom controls, 2 mm",
    "phantoms_4_mm": "phantom controls, 4 mm",
    "phantoms_4_mm_unshaded": "the same, 4 mm, without the coil's shading",
}
SLICES = {
    "clean": "real slices without an infarct, hardly anything bright in them",
    "between": "real slices without an infarct, a few bright spots",
    "hyperintense": "real slices without an infarct, many bright spots",
}
REAL = {
    "real_lgg": "glioma volumes",
    "real_soop": "stroke, single slices",
    "real_volumes": "volumes of other scanners and diseases",
}
SETTINGS = {
    "again": "the same command again",
    "1 slice at once": "1 slice at a time (2 otherwise)",
    "8 slices at once": "8 slices at a time",
    "backend openvino": "OpenVINO",
    "backend onnxruntime": "ONNX Runtime",
    "other images": "the images not flipped, to compare",
    "lowest versions": "the lowest versions of libraries",
}

Results = Mapping[str, Any]


def without_lesion(results: Results) -> str:
    """What is marked and changed where nothing should be."""
    rows = {PHANTOMS[part]: results[part]["measured"] for part in PHANTOMS}
    rows |= {words: results["slices"]["measured"][name] for name, words in SLICES.items()}
    heads = (
        "scans",
        "how many",
        "marked, ml: median, 95 %, worst",
        "marked, % of the brain: median, 95 %, worst",
        "MAE: median, 95 %, worst",
        "MS-SSIM: median, 5 %, worst",
    )
    measures = {"marked_ml": 1, "marked_percent": 1, "mae": 3, "ms_ssim": 3}
    return markdown(
        heads,
        [
            (what, str(each["number"]), *(_three(each[key], digits) for key, digits in measures.items()))
            for what, each in rows.items()
        ],
    )


def head(results: Results) -> str:
    """Of the whole head."""
    measured = results["head"]["measured"]
    if "not_measured" in measured:
        return f"A whole head without a lesion was not measured: {measured['not_measured']}."
    return (
        f"In a whole head without a lesion {measured['marked_ml']:.1f} ml are marked; MAE "
        f"{measured['mae']:.3f}, MS-SSIM {measured['ms_ssim']:.3f}."
    )


def contrasts(results: Results) -> str:
    """Of how many phantoms in each contrast the program warns, or which it refuses."""
    return markdown(
        ("phantoms without a lesion as", "how many", "warned of", "should be"),
        [
            (name, str(each["images"]), str(_noticed(each)), "0" if name == "FLAIR" else str(each["images"]))
            for name, each in results["contrasts"]["measured"].items()
        ],
    )


def real(results: Results) -> str:
    """Of how many real images the program warns or warned, or which it refuses, as they are and inverted."""
    rows = []
    for kind, words in REAL.items():
        before, now = (results[part]["measured"] for part in (f"before_{kind}", kind))
        shares = (
            f"{_share(before[form])} before, **{_share(now[form])}** now" for form in ("FLAIR", "inverted")
        )
        rows.append((words, str(now["FLAIR"]["images"]), *shares))
    return markdown(
        ("real images", "how many", "FLAIR warned of (false)", "inverted warned of or refused (right)"), rows
    )


def no_brain(results: Results) -> str:
    """What the program answers to images that hold no brain."""
    return markdown(
        ("image", "answer", "what it says"),
        [
            (what, each["answer"], f"`{each['message']}`" if each["message"] else "")
            for what, each in results["no_brain"]["measured"].items()
        ],
    )


def made(results: Results) -> str:
    """Where the figures come from."""
    commits = ", ".join(dict.fromkeys(short(entry["commit"]) for entry in results.values()))
    split = results["slices"]["split"]
    return (
        f"Real slices and glioma volumes are those of the {split} patients. Made at {commits} by "
        "`scripts/measure_safety.py`; all figures are in `results/reliability/honest_output.json`."
    )


def inputs(results: Results) -> str:
    """What became of damaged and odd inputs, by their kind."""
    rows = []
    for group in dict.fromkeys(each["group"] for each in results["targets"].values()):
        of_group = [each for each in results["targets"].values() if each["group"] == group]
        sums = (sum(each[key] for each in of_group) for key in ("inputs", "refused", "accepted", "failed"))
        rows.append(
            (
                group,
                *(f"{count:,}" for count in sums),
                str(sum(len(each["defects"]) for each in of_group)),
                f"{max(each['slowest_seconds'] for each in of_group):.1f}",
                f"{max(each['peak_memory_mb'] for each in of_group):.0f}",
            )
        )
    heads = ("kind", "inputs", "refused", "accepted", "failed on the way", "defects")
    return markdown((*heads, "slowest, s", "most memory, MB"), rows) + made_at(results)


def kills(results: Results) -> str:
    """Of how many kills of each command the same command made good."""
    rows = []
    for name, each in results["commands"].items():
        at_changes, at_random = each["at_changes"], each["at_random"]
        counts = (f"{part['done']} of {part['planned']}" for part in (at_changes, at_random))
        failed = len(at_changes["failed"]) + len(at_random["failed"])
        rows.append((f"`{name}`", *counts, str(at_changes["killed"] + at_random["killed"]), str(failed)))
    heads = (
        "command",
        "kills at a change of names",
        "at a random moment",
        "that hit the running command",
        "not made good",
    )
    made = [(*each.get("earlier_commits", ()), each["commit"]) for each in results["commands"].values()]
    commits = sorted({short(commit) for each in made for commit in each})
    return f"{markdown(heads, rows)}\n\nMade at {' and '.join(commits)}, {results['machine']}."


def faults(results: Results) -> str:
    """How many runs met each fault of the machine, all of them as promised."""
    rows = [(fault, str(runs)) for fault, runs in results["by_fault"].items()]
    return markdown(("fault", "runs that met it"), [*rows, ("all", str(results["runs"]))]) + made_at(results)


def soak(results: Results) -> str:
    """What many volumes in one process and a lost worker cost."""
    one, dask = results["one_process"], results["dask"]
    same = "the same files as without" if dask["identical"] else "other files than without"
    rows = [
        ("volumes in one process", str(one["volumes"])),
        ("memory after 100 of them, MB", f"{one['mb_after_100']:.0f}"),
        ("memory at the end, MB", f"{one['mb_at_the_end']:.0f}"),
        ("open files, all the way", ", ".join(map(str, one["descriptors"]))),
        ("a Dask worker killed while it processes a data set", f"{dask['images']} images, {same}"),
    ]
    return markdown(("what", "measured"), rows) + made_at(results)


def same_output(results: Results) -> str:
    """How far the outputs of other settings are from those of one thread and PyTorch."""
    rows = [
        (
            f"{SETTINGS.get(setting, setting)}{_precision(each)}",
            *(["bit for bit"] * 3 if each["identical"] else _differences(each)),
        )
        for setting, each in results["synthesis"].items()
    ]
    heads = ("setting", "healthy image, of the intensity range", "lesion probability", "voxels of the mask")
    return markdown(heads, rows) + made_at(results)


def same_training(results: Results) -> str:
    """How far apart trainings of three steps end, of the way that they went from the same first weights."""
    rows = [
        (
            "bf16" if precision == "bf16-mixed" else "fp32",
            SETTINGS.get(setting, setting),
            *(["bit for bit"] * 2 if each["identical"] else _percents(each)),
        )
        for precision, measured in results["training"].items()
        for setting, each in measured.items()
    ]
    return markdown(("precision", "setting", "healthy image", "lesion probability"), rows) + made_at(results)


def _precision(each: Mapping[str, Any]) -> str:
    precision = each["backend"]["precision"]
    return "" if precision == "f32" else f" in {precision}"


def _differences(each: Mapping[str, Any]) -> list[str]:
    voxels = f"{each['mask_voxels']} of {each['of_mask_voxels']}"
    return [*(f"{each[key]:.1e}" if each[key] else "0" for key in ("healthy", "probability")), voxels]


def _percents(each: Mapping[str, Any]) -> list[str]:
    return [f"{100 * each[key]:.2g} %" for key in ("healthy", "probability")]


PARTS: Mapping[str, tuple[str, Callable[[Results], str]]] = {
    "inputs": ("fuzzing", inputs),
    "kills": ("kills", kills),
    "faults": ("faults", faults),
    "soak": ("soak", soak),
    "same output": ("same_output", same_output),
    "same training": ("same_output", same_training),
    "without a lesion": ("honest_output", without_lesion),
    "head": ("honest_output", head),
    "contrasts": ("honest_output", contrasts),
    "real": ("honest_output", real),
    "no brain": ("honest_output", no_brain),
    "made": ("honest_output", made),
}


def read_results() -> dict[str, Results]:
    """The results of each campaign, by the name of its file."""
    return {
        name: read_json(RESULTS / f"{name}.json") for name in sorted({name for name, _ in PARTS.values()})
    }


def filled(text: str, results: Mapping[str, Results]) -> str:
    """The page with each part between its marks made again.

    Args:
        text: of the page.
        results: as `read_results` gives them.

    Raises:
        ValueError: a part has no marks, or marks name no part.
    """
    return refilled(text, {part: partial(make, results[name]) for part, (name, make) in PARTS.items()})


def _three(values: Mapping[str, float], digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values.values())


def _noticed(counts: Mapping[str, int]) -> int:
    return counts["warned"] + counts["refused"]


def _share(counts: Mapping[str, int]) -> str:
    return f"{100 * _noticed(counts) / counts['images']:.0f} %"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), read_results()), encoding="utf-8")
    print(PAGE, file=sys.stderr)
