"""Measures this machine, then the program against it; writes `results/performance.json` and its page.

Every part can be measured by itself: rows of the others stay as they were, and the page marks those of
another machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from benchmarks import earlier, growth, hours, inference, roofline, scaling, time_to_balance, training, volume
from benchmarks.formulas import widened
from benchmarks.page import machine_words, page
from benchmarks.yardstick import Machine
from pseudohealthy.errors import InputError
from pseudohealthy.files import write_json, write_text
from pseudohealthy.provenance import commit, provenance

ROOT = Path(__file__).resolve().parents[1]
# What a part's rows begin with, so that a new measurement takes the old one's place
PARTS = {
    "inference": ("G_", "S_"),
    "roofline": ("convolutions_", "kernels_"),
    "volume": ("volume_", "uncertainty_", "cold_"),
    "training": ("train_step_",),
    "earlier": ("earlier_",),
    "tried": ("tried_",),
    "around": ("memory_", "twice_", "waiting_"),
    "scaling": ("torchrun_", "trainings_at_once", "volumes_at_once", "asleep_"),
    "growth": ("growth_",),
    "balance": ("balance_",),
    "hours": ("table1_",),
}
# More than a few minutes each
LONG = ("earlier", "roofline", "around", "tried", "scaling", "growth", "balance")


def measured(arguments: argparse.Namespace, before: dict[str, Any]) -> dict[str, Any]:
    """The requested parts measured, and the other parts as they were `before`."""
    machine = Machine.of(arguments.device, quick=arguments.quick)
    peaks = machine.peaks()
    width, quick = arguments.width, arguments.quick
    parts: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
        "inference": lambda: inference.rows(machine, width),
        "roofline": lambda: chain(roofline.rows(machine, width), roofline.training_rows(machine, width)),
        "volume": lambda: volume.rows(machine, width, 4.0 if quick else 1.0),
        "training": lambda: training.rows(machine, width),
        "earlier": lambda: earlier.rows(1 if quick else 3, 4.0 if quick else 1.0, width),
        "tried": lambda: training.tried(machine, width),
        "around": lambda: training.around(machine, width),
        "scaling": lambda: scaling.rows(1 if quick else 3, 4.0 if quick else 1.0),
        "growth": lambda: growth.rows((5, 6) if quick else (10, 100, 1000)),
        "balance": lambda: time_to_balance.rows(*((0.1, 16, 8) if quick else (6.0, 4000, 40))),
        "hours": lambda: hours.rows(ROOT / "results"),
    }
    speed = peaks.pop("copy_gb_per_s")
    cuda = machine.device.type == "cuda"
    head: dict[str, Any] = {
        **provenance(),
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "seed": 0,
        "config": {"width": width, "quick": quick, "repeats": machine.repeats},
        "peak_gflops": peaks,
        "copy_gb_per_s": speed,
    }
    made = {"commit": commit(), "date": head["date"], "machine": machine_words(head)}
    if before and before["config"]["quick"] != quick:
        before = {}  # measured badly, or these are
    rows = {row["name"]: {"machine": machine_words(before), **row} for row in before.get("rows", [])}
    shares = before.get("paired_step_shares") if machine_words(before) == made["machine"] else None
    result: dict[str, Any] = {}
    for part in arguments.parts:
        rows = {name: row for name, row in rows.items() if not name.startswith(PARTS[part])}
        for row in parts[part]():
            print(json.dumps(row), file=sys.stderr)
            rows[row["name"]] = {**row, **made}
        if part == "training":
            shares = training.shares(machine, width)
        result = {**head, "paired_step_shares": shares, "rows": list(rows.values())}
        write_json(arguments.out, result)  # parts take hours: one that fails loses nothing of the others
    return result


def processor() -> str:
    """The newest vector instructions that PyTorch finds, and those for short numbers."""
    found = torch.cpu.get_capabilities()
    short = [name for name in ("avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16") if found.get(name)]
    return ", ".join([torch.backends.cpu.get_cpu_capability(), *short])


def listed(text: str) -> list[str]:
    """`volume,training` as a list of parts."""
    parts = text.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no part; known are {', '.join(PARTS)}")
    return parts


def main() -> None:
    """Measure, write, and print where."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--parts",
        type=listed,
        default=[part for part in PARTS if part not in LONG],
        metavar="PART,...",
        help=f"of {', '.join(PARTS)}; default: all but {', '.join(LONG)}, which take long",
    )
    parser.add_argument("--width", type=int, default=32, help="of every network (the paper: 32)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--quick", action="store_true", help="measure badly, to see that it runs")
    parser.add_argument("--out", type=Path, default=ROOT / "results/performance.json", help="JSON file")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/performance.md", help="Markdown file")
    parser.add_argument("--page-only", action="store_true", help="write the page again from the JSON file")
    arguments = parser.parse_args()
    if arguments.quick and arguments.out == parser.get_default("out"):
        parser.error("--quick measures badly; give it an --out and a --page of its own")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no graphics card that torch can use")
    try:
        widened("paired", arguments.width)
    except InputError as error:
        parser.error(f"--width {arguments.width}: {error}")
    before = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.is_file() else {}
    if arguments.page_only and not before:
        parser.error(f"{arguments.out}: nothing was measured yet; leave out --page-only")
    result = before if arguments.page_only else measured(arguments, before)
    write_text(arguments.page, page(result))
    print(f"{arguments.out}\n{arguments.page}")


if __name__ == "__main__":
    main()
