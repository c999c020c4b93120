"""What several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of research data: PSEUDOHEALTHY_DATA, else `shared/data` beside the checkout."""
    folder = Path(os.environ.get("PSEUDOHEALTHY_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "lgg").is_dir():
        pytest.skip(f"no research data at {folder}; set PSEUDOHEALTHY_DATA")
    return folder
