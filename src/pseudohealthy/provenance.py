"""What made a result: program, commit, libraries, machine."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

from pseudohealthy import __version__
from pseudohealthy.errors import RESEARCH_USE


def provenance() -> dict[str, Any]:
    """What made a result: program, commit where the program runs from a checkout, libraries, machine."""
    import torch  # noqa: PLC0415  (takes seconds)

    root = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    found = (
        subprocess.run(command, capture_output=True, text=True, check=False)
        if (root / ".git").exists()
        else None
    )
    return {
        "version": __version__,
        "commit": found.stdout.strip() if found is not None and found.returncode == 0 else None,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "research_use": RESEARCH_USE,
    }
