"""How far do outputs differ where the input is the same, and only the machine's settings are not?

    python -m scripts.measure_same_output [--python NAME=INTERPRETER ...]

The bundled weights process a phantom, and tiny networks are trained for three steps, each time in a process
of its own: with other threads, slices at once, backends, and other interpreters with libraries of their own.
The command is repeated with other folders, locales and time zones, too. Writes
`results/reliability/same_output.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

from pseudohealthy.config import preprocessing, settings
from pseudohealthy.cpu import has_bf16
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.files import write_json
from pseudohealthy.methods.factory import build
from pseudohealthy.phantom.dataset import make_phantoms
from pseudohealthy.provenance import installed_versions, provenance
from pseudohealthy.synthesis import model as model_module
from pseudohealthy.synthesis.backends import PACKAGES, Name
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.synthesize import synthesize
from pseudohealthy.training.checkpoint import save_weights
from pseudohealthy.training.loop import train

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "results" / "reliability" / "same_output.json"
SUBJECT, PATIENTS, SPACING = "sub-P001", 6, 4.0  # mm: a few seconds of work for each setting
STEPS, BATCH = 3, 2
PRECISIONS = ("32-true", "bf16-mixed")
TRAINING: dict[str, Any] = {
    "networks": {"width": 4, "segmentor_width": 4, "discriminator_width": 4},
    "training": {
        "images": STEPS * BATCH,
        "batch_size": BATCH,
        "checkpoint_every": STEPS * BATCH,
        "preview_every": STEPS * BATCH,
    },
}
# What surrounds a command and must not matter
SURROUNDINGS: Mapping[str, Mapping[str, str]] = {
    "other folder": {},
    "other locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "other time zone": {"TZ": "Pacific/Auckland"},
    "other hash seed": {"PYTHONHASHSEED": "7"},
}
# The most that outputs may differ from the reference's; `healthy` as a fraction of the intensity range
TOLERANCES: Mapping[str, Mapping[str, float]] = {
    "synthesis, torch, f32": {"healthy": 1e-5, "probability": 1e-5, "mask_voxels": 1},
    "synthesis, onnxruntime, f32": {"healthy": 1e-4, "probability": 1e-3, "mask_voxels": 3},
    "synthesis, openvino, f32": {"healthy": 1e-4, "probability": 5e-3, "mask_voxels": 3},
    "synthesis, openvino, bf16": {"healthy": 0.02, "probability": 0.1, "mask_voxels": 30},
    "synthesis, openvino, int8": {"healthy": 0.01, "probability": 0.5, "mask_voxels": 60},
    # Other threads sum a norm's pixels in another order; Adam's first steps are as large where there is
    # little but rounding errors. In bf16, and the segmentor, go another way at once: no limit would tell
    "training, 32-true": {"healthy": 0.05},
}

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Setting:
    """How a process runs.

    Attributes:
        threads: OMP_NUM_THREADS, which torch, SciPy and the backends follow.
        slices_at_once: how many slices the networks take together.
        backend: what runs the networks.
        python: the interpreter.
        augment: of the training's images.
    """

    threads: int = 1
    slices_at_once: int = model_module.SLICES_ON_CPU
    backend: Name = "torch"
    python: str = sys.executable
    augment: str = "flip_gamma"

    def run(self, function: str, *arguments: str | int) -> dict[str, Any]:
        """What a function of this file returns in a process of this setting."""
        code = (
            f"import json, sys; from scripts.measure_same_output import {function}\n"
            f"print(json.dumps({function}(*json.loads(sys.argv[1]))))"
        )
        command = [self.python, "-c", code, json.dumps(arguments)]
        done = subprocess.run(command, env=self.environment(), stdout=subprocess.PIPE, text=True, check=True)
        returned: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return returned

    def environment(self) -> dict[str, str]:
        """The environment of its processes."""
        return {**os.environ, "OMP_NUM_THREADS": str(self.threads), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}


REFERENCE = Setting()
OTHER_IMAGES = "other images"  # the same slices, not flipped: a change that no tolerance may let pass
OF_BOTH = {
    "again": REFERENCE,
    "2 threads": replace(REFERENCE, threads=2),
    "4 threads": replace(REFERENCE, threads=4),
}
OF_TRAINING = {**OF_BOTH, OTHER_IMAGES: replace(REFERENCE, augment="none")}
OF_SYNTHESIS = {
    **OF_BOTH,
    "1 slice at once": replace(REFERENCE, slices_at_once=1),
    "8 slices at once": replace(REFERENCE, slices_at_once=8),
    **{f"backend {name}": replace(REFERENCE, backend=name) for name in PACKAGES if name != "torch"},
}


def synthesize_once(image: str, out: str, slices_at_once: int, backend: Name) -> dict[str, Any]:
    """Save healthy image, probability and mask to the file `out`; returns backend and versions."""
    model_module.SLICES_ON_CPU = slices_at_once
    result = synthesize(image, model_module.Model.load(bundled_weights(), "cpu", backend))
    np.savez(out, healthy=result.healthy, probability=result.probability, mask=result.mask)
    return {"backend": result.report["backend"], **installed_versions()}


def train_once(prepared: str, out: str, precision: str, augment: str) -> dict[str, Any]:
    """Train tiny networks into the folder `out`; returns versions."""
    words = [f"training.precision={precision}", f"training.augment={augment}"]
    train(
        Prepared.open(Path(prepared)),
        Path(out),
        settings("paired", values=TRAINING, overrides=words),
        accelerator="cpu",
    )
    return installed_versions()


def write_initial_weights(folder: Path, prepared: Prepared) -> None:
    """Those that every training begins with."""
    chosen = settings("paired", values=TRAINING)
    torch.manual_seed(chosen.training.seed)
    config = {
        "settings": chosen.model_dump(mode="json"),
        "preprocessing": prepared.preprocessing.model_dump(mode="json"),
        "data": {},
        "images": 0,
        "averaged": False,
    }
    save_weights(folder, build(chosen).generators, config)


def measure(folder: Path, pythons: Mapping[str, str] | None = None) -> dict[str, Any]:
    """All differences to one thread, two slices at once and PyTorch; works in the empty `folder`.

    Args:
        folder: for the phantoms and all that is made of them.
        pythons: by name, further interpreters that have the program's dependencies.
    """
    made_by = provenance()
    phantoms = make_phantoms(folder / "phantoms", patients=PATIENTS, spacing=SPACING)
    fitting = preprocessing(values={"spacing": SPACING, "slice_shape": [64, 48]})
    prepare(read_cohort([phantoms]), folder / "prepared", fitting)
    image = phantoms / SUBJECT / "anat" / f"{SUBJECT}_FLAIR.nii.gz"
    others = {name: replace(REFERENCE, python=python) for name, python in (pythons or {}).items()}
    return {
        **made_by,
        **installed_versions(),
        "volume": {"subject": SUBJECT, "shape": list(nib.load(image).shape), "spacing_mm": SPACING},
        "files": compare_files(image, folder / "files"),
        "synthesis": compare_synthesis(image, folder, {**OF_SYNTHESIS, **others}),
        "training": {
            precision: compare_training(
                folder / precision, folder / "prepared", precision, {**OF_TRAINING, **others}
            )
            for precision in computed_here()
        },
    }


def computed_here() -> tuple[str, ...]:
    """Without instructions for bf16 a processor takes minutes for what are seconds in fp32."""
    return PRECISIONS if has_bf16() else PRECISIONS[:1]


def compare_synthesis(image: Path, folder: Path, others: Mapping[str, Setting]) -> dict[str, Any]:
    """The largest differences of a synthesis by setting; the image's as a fraction of the input's range."""
    span = float(np.ptp(nib.load(image).get_fdata()))

    def made(name: str, setting: Setting) -> tuple[dict[str, Any], Arrays]:
        out = folder / f"{name}.npz"
        about = setting.run("synthesize_once", str(image), str(out), setting.slices_at_once, setting.backend)
        with np.load(out) as arrays:
            return about, dict(arrays)

    def difference(arrays: Arrays, reference: Arrays) -> dict[str, Any]:
        return {
            "healthy": _largest(arrays["healthy"], reference["healthy"]) / span,
            "probability": _largest(arrays["probability"], reference["probability"]),
            "mask_voxels": int(np.count_nonzero(arrays["mask"] != reference["mask"])),
            "of_mask_voxels": int(np.count_nonzero(reference["mask"])),
        }

    return _compared(made, difference, others)


def compare_training(
    folder: Path, prepared: Path, precision: str, others: Mapping[str, Setting]
) -> dict[str, Any]:
    """How far apart three steps of training leave the outputs, by setting, of the way that they went.

    Outputs are healthy images and lesion probabilities of all slices; distances are roots of sums
    of squares. Weights say less: those that nothing depends on go where rounding errors lead them.
    """
    slices = Prepared.open(prepared)
    images = np.asarray(slices.images)
    write_initial_weights(folder / "initial", slices)

    def outputs(weights: Path) -> Arrays:
        model = model_module.Model.load(weights, "cpu")
        return {"healthy": model.synthesize(images), "probability": model.segment(images)}

    def made(name: str, setting: Setting) -> tuple[dict[str, Any], Arrays]:
        out = folder / name
        about = setting.run("train_once", str(prepared), str(out), precision, setting.augment)
        return about, outputs(out / "weights")

    def difference(arrays: Arrays, reference: Arrays) -> dict[str, Any]:
        return {
            key: _distance(arrays[key], reference[key]) / _distance(reference[key], first[key])
            for key in first
        }

    first = outputs(folder / "initial")
    return _compared(made, difference, others)


def compare_files(image: Path, folder: Path) -> dict[str, list[str]]:
    """The files in which the bytes differ that `pseudohealthy synthesize` writes, by what surrounds it."""
    folder.mkdir()
    reference = _files_of_command(image, folder / "reference", {})
    differing = {}
    for name, surroundings in SURROUNDINGS.items():
        made = _files_of_command(image, folder / name, surroundings)
        differing[name] = sorted(file for file in reference | made if reference.get(file) != made.get(file))
    return {"written": sorted(reference), **differing}


def _compared(
    made: Callable[[str, Setting], tuple[dict[str, Any], Arrays]],
    difference: Callable[[Arrays, Arrays], dict[str, Any]],
    others: Mapping[str, Setting],
) -> dict[str, Any]:
    """By setting: identical to the reference bit by bit, the differences, and what ran."""
    _, reference = made("reference", REFERENCE)
    rows = {}
    for name, setting in others.items():
        about, arrays = made(name, setting)
        identical = all(arrays[key].tobytes() == reference[key].tobytes() for key in reference)
        rows[name] = {"identical": identical, **difference(arrays, reference), **about}
    return rows


def _files_of_command(image: Path, folder: Path, surroundings: Mapping[str, str]) -> dict[str, bytes]:
    folder.mkdir()
    command = [
        sys.executable,
        "-m",
        "pseudohealthy",
        "synthesize",
        str(image),
        "-o",
        "out",
        "--device",
        "cpu",
    ]
    environment = {**REFERENCE.environment(), **surroundings}
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def _distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.linalg.norm(a.astype(np.float64) - b.astype(np.float64)))


def _largest(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max(initial=0))


def main() -> None:
    """All settings of this machine, and the interpreters that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", action="append", default=[], metavar="NAME=INTERPRETER")
    pythons = dict(each.split("=", 1) for each in parser.parse_args().python)
    with tempfile.TemporaryDirectory() as folder:
        write_json(RESULT, measure(Path(folder), pythons))
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
