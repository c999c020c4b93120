"""Generator and segmentor in 8-bit integers against fp32, both by OpenVINO, on processors of several kinds.

    python -m benchmarks.int8 [--weights FOLDER]

prints a JSON object. A processor can be had to leave its later instructions unused, so that one with a matrix
unit shows what one without is worth; each kind needs a process of its own. One thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.yardstick import spread
from pseudohealthy.synthesis import backends
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.model import SLICES_ON_CPU, Model

# Newest instructions that may be used, by their name in oneDNN
INSTRUCTIONS = {"AVX2_VNNI": "AVX2 with VNNI", "AVX512_CORE_VNNI": "AVX-512 with VNNI"}
VARIABLE = "ONEDNN_MAX_CPU_ISA"
PRECISIONS: tuple[backends.Precision, ...] = ("f32", "int8")
REPEATS, BATCHES = 15, 4


def times_as_fast(weights: Path) -> dict[str, Any]:
    """How many times as fast as fp32 each network is, and both one after the other, in this process."""
    model = Model.load(weights, "cpu")
    x = np.random.default_rng(0).random((SLICES_ON_CPU, 1, *model.preprocessing.slice_shape), np.float32)
    seconds: dict[str, dict[backends.Precision, list[float]]] = {}
    for letter, ranges in model.ranges.items():
        compiled = {
            precision: backends.to_openvino(
                model.networks[letter], model.preprocessing.slice_shape, 1, precision, ranges
            )
            for precision in PRECISIONS
        }
        seconds[letter] = {precision: [] for precision in compiled}
        for _ in range(REPEATS + 1):
            for precision, run in compiled.items():
                began = time.perf_counter()
                for _ in range(BATCHES):
                    run([x])
                seconds[letter][precision].append(time.perf_counter() - began)
    speeds = {letter: np.array([each["f32"], each["int8"]])[:, 1:] for letter, each in seconds.items()}
    speeds["together"] = np.sum(list(speeds.values()), axis=0)
    return {name: spread((f32 / int8).tolist()) for name, (f32, int8) in speeds.items()}


def by_instructions(weights: Path) -> dict[str, Any]:
    """`times_as_fast` in a process for each kind of instructions."""
    result = {}
    for limit, name in INSTRUCTIONS.items():
        command = [sys.executable, "-m", "benchmarks.int8", "--weights", str(weights), "--here"]
        environment = {**os.environ, VARIABLE: limit, "OMP_NUM_THREADS": "1"}
        printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        result[name] = json.loads(printed)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.int8", description=__doc__)
    parser.add_argument("--weights", type=Path, default=bundled_weights())
    parser.add_argument("--here", action="store_true", help="in this process, with whatever it may use")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measure = times_as_fast if arguments.here else by_instructions
    print(json.dumps(measure(arguments.weights)))


if __name__ == "__main__":
    main()
