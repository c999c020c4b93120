"""Without the extra, the command says how to install it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_without_the_extra_one_line_says_how_to_install_it(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["uvicorn"] = sys.modules["starlette"] = None  # as if they were not installed
sys.argv[1:] = ["serve"]
from pseudohealthy.cli.program import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "pseudohealthy: serve: starlette, uvicorn not installed; "
        "pip install '.[serve]' (in a clone of the repository)\n"
    )
