"""Inputs that are guided by what they reach in the code (atheris, libFuzzer), for readers of one file.

`python -m torture.fuzzing.guided TARGET INPUTS SEED FOLDER`: inputs are changed by bytes, and those that
reach new code are changed further. One that raises anything but an `InputError` is left in FOLDER, as
`crash-...`.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from torture.fuzzing.campaign import IN_MEMORY, MOST_SECONDS, PATHS, Figures

GROUPS = {
    "json": "JSON",
    "yaml": "YAML",
    "participants": "BIDS",
    "nifti": "NIfTI",
    "metrics": "training state",
}
PLACES = ("inputs", "accepted", "refused")
SUBJECTS = {"01", "02", "03", "004"}


def available() -> bool:
    """Whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def guided(name: str, inputs: int, seed: int, folder: Path) -> Figures:
    """The figures of so many guided inputs of a target, in a process of their own.

    Args:
        name: one of `GROUPS`.
        inputs: how many.
        seed: of the changes.
        folder: for the corpus and for what broke a promise; made if absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "torture.fuzzing.guided", name, str(inputs), str(seed), str(folder)]
    environment = {**os.environ, "PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-", dir=IN_MEMORY) as place:
        words = [*command, place]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    given, accepted, refused = map(int, _counts(folder))
    figures = Figures(GROUPS[name], given, refused, accepted)
    figures.seconds = round(time.monotonic() - began, 2)
    for path in sorted(folder.glob("*-*")):
        if path.name.startswith(("crash-", "timeout-", "oom-", "leak-")):
            words = [line for line in done.stderr.splitlines() if "Error" in line]
            complaint = f"{path.name.partition('-')[0]}: {words[-1][:200] if words else done.stderr[-200:]}"
            repeat = " ".join(["PYTHONPATH=src:tests python", *command[1:5], str(path)])
            figures.defects.append({"complaint": complaint, "saved": str(path), "repeat": repeat})
    if done.returncode and not figures.defects:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    for line in done.stderr.splitlines():
        if "peak_rss_mb" in line:
            figures.peak_memory_mb = float(line.rpartition(":")[2])
    return figures


def _counts(folder: Path) -> Any:
    path = folder / "counts"
    if not path.exists():
        path.write_bytes(bytes(8 * len(PLACES)))
    return np.memmap(path, np.int64, "r+", shape=(len(PLACES),))


def _readers(place: Path) -> dict[str, tuple[Callable[[], object], str, list[bytes]]]:
    """By target: who reads a file of which name in `place`, and files to begin with."""
    import atheris

    with atheris.instrument_imports(include=["pseudohealthy", "yaml"]):
        from pseudohealthy.data.layouts.participants import read_participants
        from pseudohealthy.data.volume import read_volume
        from pseudohealthy.json_files import read_json
        from pseudohealthy.settings_files import read_yaml
        from pseudohealthy.training.progress import Metrics

    table = b"participant_id\tgroup\tsplit\nsub-01\tpatient\ttrain\nsub-02\tcontrol\ttest\n"
    return {
        "json": (lambda: read_json(place / "x"), "x", [b'{"a": [1, -2.5e3, null], "b": {"c": "\\u00e9"}}']),
        "yaml": (lambda: read_yaml(place / "x"), "x", [b"a: 1\nb:\n  - c: 2.5\n  - &x {d: e}\nf: *x\n"]),
        "participants": (lambda: read_participants(place, SUBJECTS), "participants.tsv", [table]),
        "nifti": (lambda: read_volume(place / "x.nii"), "x.nii", _niftis()),
        "metrics": (lambda: Metrics(place / "x", {"images": 8}), "x", [b'{"images": 4, "generator": 0.5}\n']),
    }


def _niftis() -> list[bytes]:
    import gzip

    import nibabel

    data = np.arange(4 * 5 * 3, dtype=np.int16).reshape(4, 5, 3)
    images = [kind(data, np.diag([-1.0, -1, 1, 1])) for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image)]
    return [
        content
        for image in images
        for content in (image.to_bytes(), gzip.compress(image.to_bytes(), mtime=0))
    ]


def main() -> None:
    """See the module."""
    import atheris

    name, inputs, seed, folder = sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])
    place = Path(sys.argv[5] if len(sys.argv) > 5 else tempfile.mkdtemp())
    read, file, first = _readers(place)[name]
    from pseudohealthy.errors import InputError, message

    again = folder if folder.is_file() else None
    counts = np.zeros(len(PLACES), np.int64) if again else _counts(folder)

    def one(content: bytes) -> None:
        (place / file).write_bytes(content)
        counts[0] += 1
        try:
            read()
            counts[1] += 1
        except InputError as error:
            counts[2] += 1
            line = message(error)
            assert line.startswith(str(place)), line
            assert len(line.splitlines()) == 1, line

    options = [f"-runs={inputs}", f"-seed={seed}", f"-timeout={6 * MOST_SECONDS}", "-rss_limit_mb=2048"]
    options += ["-max_len=4096", f"-artifact_prefix={folder}/", "-print_final_stats=1", "-verbosity=1"]
    corpus = [str(again or _corpus(folder / "corpus", first))]
    atheris.Setup([sys.argv[0], *([] if again else options), *corpus], one)
    atheris.Fuzz()


def _corpus(folder: Path, first: list[bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(first):
        (folder / f"{number}").write_bytes(content)
    return folder


if __name__ == "__main__":
    main()
