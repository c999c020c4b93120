"""What made a result: program, commit, libraries, machine."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pseudohealthy import __version__
from pseudohealthy.errors import RESEARCH_USE

LIBRARIES = ("torch", "numpy", "nibabel", "lightning-fabric", "nilearn")


def provenance() -> dict[str, Any]:
    """What made a result: program, commit where the program runs from a checkout, libraries, machine."""
    import torch  # noqa: PLC0415  (takes seconds)

    return {
        "version": __version__,
        "commit": commit(),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "research_use": RESEARCH_USE,
    }


def commit() -> str | None:
    """The commit of the checkout that the program runs from, with `-dirty` for changes; None elsewhere."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    described = subprocess.run(command, capture_output=True, text=True, check=False)
    return described.stdout.strip() if described.returncode == 0 else None


def installed_versions() -> dict[str, Any]:
    """Versions of the program, Python and the main libraries (None: not installed), without loading torch."""
    return {
        "version": __version__,
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
