"""Writes the measured parts of `docs/reliability.md` from `results/reliability`: `make results`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudohealthy.json_files import read_json

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs/reliability.md", ROOT / "results/reliability/honest_output.json"
BLOCK = re.compile(r"(<!-- honest output: ([\w ]+) -->\n).*?(<!-- /honest output -->)", re.DOTALL)
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
    return _markdown(
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
    return _markdown(
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
    return _markdown(
        ("real images", "how many", "FLAIR warned of (false)", "inverted warned of or refused (right)"), rows
    )


def no_brain(results: Results) -> str:
    """What the program answers to images that hold no brain."""
    return _markdown(
        ("image", "answer", "what it says"),
        [
            (what, each["answer"], f"`{each['message']}`" if each["message"] else "")
            for what, each in results["no_brain"]["measured"].items()
        ],
    )


def made(results: Results) -> str:
    """Where the figures come from."""
    commits = ", ".join(dict.fromkeys(entry["commit"][:9] for entry in results.values()))
    split = results["slices"]["split"]
    return (
        f"Real slices and glioma volumes are those of the {split} patients. Made at {commits} by "
        "`scripts/measure_safety.py`; all figures are in `results/reliability/honest_output.json`."
    )


PARTS: Mapping[str, Callable[[Results], str]] = {
    "without a lesion": without_lesion,
    "head": head,
    "contrasts": contrasts,
    "real": real,
    "no brain": no_brain,
    "made": made,
}


def filled(text: str, results: Results) -> str:
    """The page with each part between its marks made again.

    Raises:
        ValueError: a part has no marks, or marks name no part.
    """
    if sorted(match[2] for match in BLOCK.finditer(text)) != sorted(PARTS):
        raise ValueError(f"expected <!-- honest output: PART --> once for each of {', '.join(PARTS)}")
    return BLOCK.sub(lambda match: f"{match[1]}{PARTS[match[2]](results)}\n{match[3]}", text)


def _three(values: Mapping[str, float], digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values.values())


def _noticed(counts: Mapping[str, int]) -> int:
    return counts["warned"] + counts["refused"]


def _share(counts: Mapping[str, int]) -> str:
    return f"{100 * _noticed(counts) / counts['images']:.0f} %"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), read_json(RESULTS)), encoding="utf-8")
    print(PAGE, file=sys.stderr)
