"""How long a whole Table 1 took, from its results."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def rows(results: Path) -> Iterator[dict[str, Any]]:
    """A row for each folder of results with a table: hours by kind of step, of one process at a time."""
    for path in sorted(results.glob("*/table1.json")):
        table = json.loads(path.read_text(encoding="utf-8"))
        hours: dict[str, float] = defaultdict(float)
        for step in table["steps"]:
            hours[step["kind"]] += step["seconds"] / 3600
        yield {
            "name": f"table1_{path.parent.name}",
            "hours": {kind: round(value, 2) for kind, value in hours.items()},
            "all_hours": round(sum(hours.values()), 2),
            "steps": len(table["steps"]),
        }
