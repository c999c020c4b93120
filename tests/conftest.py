"""What several test files share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from fixtures.cohorts import FITTING, bids, library, participants
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared

ROOT = Path(__file__).resolve().parents[1]
SPLITS = ((1, "train"), (2, "train"), (3, "val"), (4, "test"))


# In the background (`nohup`, `&` in a script) tests would ignore these signals, and so would all they start
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test draws the same, whichever ran before it in its process."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of research data: PSEUDOHEALTHY_DATA, else `shared/data` beside the checkout."""
    folder = Path(os.environ.get("PSEUDOHEALTHY_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "lgg").is_dir():
        pytest.skip(f"no research data at {folder}; set PSEUDOHEALTHY_DATA")
    return folder


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients (two of them for training) with masks, and two library masks, prepared at 64 x 48."""
    root = tmp_path_factory.mktemp("cohort")
    patients = bids(root / "patients", 4)
    participants(patients, "participant_id\tsplit", *(f"sub-{n:02d}\t{split}" for n, split in SPLITS))
    prepare(read_cohort([patients, library(root / "masks", 2)]), root / "prepared", FITTING)
    return root / "prepared"


@pytest.fixture
def prepared(prepared_folder: Path) -> Prepared:
    """`prepared_folder`, opened."""
    return Prepared.open(prepared_folder)
