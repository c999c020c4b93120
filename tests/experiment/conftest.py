"""The smallest experiment, done once for all files of tests that look at a finished one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.experiments import SMOKE
from pseudohealthy.experiment.config import Experiment, read_experiment
from pseudohealthy.experiment.runner import reproduce
from pseudohealthy.locks import locked


@pytest.fixture(scope="session")
def smoke() -> Experiment:
    return read_experiment(SMOKE)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, smoke: Experiment) -> Path:
    """The folder of the experiment `smoke`, all of its steps done; to be read, not written to.

    Workers of pytest-xdist share it: the first to want it does it, and another one waits for that.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    with locked(root / "smoke.lock"):
        if not (root / "smoke" / "results").exists():
            reproduce(smoke, root / "smoke", device="cpu")
    return root / "smoke"
