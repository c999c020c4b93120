"""The command `demo`: to see all of it work."""

from __future__ import annotations

from pathlib import Path

from pseudohealthy.cli.options import Folder


def demo(out: Folder = Path("demo")) -> None:
    """Make phantom patients, train a small model on them, and process one it has not seen: a few minutes."""
    from pseudohealthy.experiment.demo import run_demo

    run_demo(out)
