"""`python -m torture.fuzzing`: a campaign over all targets or one of them, or one of its inputs again."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from torture.fuzzing.campaign import Figures, campaign, shares, summary
from torture.fuzzing.targets import BY_NAME

INPUTS, SEED = 100_000, 20261128


def main() -> int:
    """Exit code 1 where some input broke a promise."""
    options = _options()
    failures = options.failures.resolve()
    names = [options.target] if options.target else list(BY_NAME)
    counts = shares(options.inputs, {name: BY_NAME[name].share for name in names})
    first = options.number or 0
    one = options.number is not None
    parts = {name: range(first, first + (1 if one else counts[name])) for name in names}
    groups = {name: target.group for name, target in BY_NAME.items()}
    figures = campaign(parts, groups, options.seed, failures)
    for name in names:
        print(_line(name, figures[name]))
    command = [
        "python",
        "-m",
        "torture.fuzzing",
        "--inputs",
        str(options.inputs),
        "--seed",
        str(options.seed),
    ]
    command += ["--target", options.target] if options.target else []
    found = summary(figures, options.seed, command)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"seed {options.seed}: {found['totals']}")
    return int(found["totals"]["defects"] > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture.fuzzing", description=__doc__)
    inputs = int(os.environ.get("PSEUDOHEALTHY_TORTURE_INPUTS", INPUTS))
    parser.add_argument("--inputs", type=int, default=inputs, help="in all")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--target", choices=list(BY_NAME), help="default: all of them")
    parser.add_argument("--number", type=int, help="with --target: one input again")
    parser.add_argument("--out", type=Path, help="JSON of the figures")
    place = Path(tempfile.gettempdir()) / "pseudohealthy-torture"
    parser.add_argument("--failures", type=Path, default=place, help="where failing inputs are copied")
    return parser.parse_args()


def _line(name: str, figures: Figures) -> str:
    words = (
        f"{name}: {figures.inputs} inputs, {figures.refused} refused, {figures.accepted} accepted, "
        f"{figures.failed} failed, {len(figures.defects)} defects; {figures.seconds} s, "
        f"{figures.peak_memory_mb:.0f} MB"
    )
    kinds: dict[str, str] = {}
    for defect in figures.defects:
        at = f"\n    {defect['repeat']}\n    {defect.get('saved', '')}"
        kinds.setdefault(defect["complaint"], at)
    return words + "".join(f"\n  {kind}{at}" for kind, at in kinds.items())


if __name__ == "__main__":
    sys.exit(main())
