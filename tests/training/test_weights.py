"""A model folder read without torch."""

from __future__ import annotations

import subprocess
import sys


def test_reading_a_model_folder_does_not_import_torch() -> None:
    code = "import sys, pseudohealthy.training.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
