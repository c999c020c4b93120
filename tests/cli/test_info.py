"""The command `info`."""

from __future__ import annotations

import json
from pathlib import Path

from fixtures.command_line import Run
from pseudohealthy import __version__


def test_info_tells_what_the_weights_are(run: Run, weights: Path) -> None:
    shown = run("info", "--json", "--weights", weights)
    facts = json.loads(shown.out)
    assert shown.code == 0
    assert (facts["version"], facts["weights"]["method"]) == (__version__, "paired")
    lines = run("info", "--weights", weights).out.splitlines()
    assert lines[0] == f"version: {__version__}"
    assert [line.split(":")[0] for line in lines] == list(facts)
