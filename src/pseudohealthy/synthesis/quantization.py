"""Convolutions in 8-bit integers: their inputs' ranges, measured on training slices, beside the weights.

Weights are scaled channel by channel and inputs as a whole, from their least to their greatest value, and
products are summed in 32 bits. Norms, activations and the layers that are not named stay in fp32.
`scripts/calibrate_int8.py` measures the ranges, and what the images lose.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat

from pseudohealthy.synthesis.measured_of_weights import MeasuredOfWeights

if TYPE_CHECKING:
    from torch import Tensor, nn

FILE, FORMAT = "int8.json", 1
INPUT_LEVELS, WEIGHT_LEVELS = 256, 255  # of weights as many below 0 as above

Range = tuple[FiniteFloat, FiniteFloat]
Ranges = Mapping[str, Range]  # of the inputs of convolutions, by the name of the layer


class InputRanges(MeasuredOfWeights):
    """Which convolutions are computed in 8-bit integers, and the ranges of their inputs.

    Attributes:
        format: of the file.
        sha256: of the weights that were measured.
        slices: of training patients, on which they were measured.
        networks: by the paper's letter.
    """

    file: ClassVar[str] = FILE
    expected_format: ClassVar[int] = FORMAT

    slices: int
    networks: dict[str, dict[str, Range]]


def measure_ranges(network: nn.Module, slices: NDArray[np.float32], at_once: int = 8) -> dict[str, Range]:
    """The least and the greatest input of each convolution of a network, for slices `(N, 1, H, W)`."""
    import torch  # noqa: PLC0415  (what OpenVINO computes needs none, and loading it takes a second)
    from torch import nn  # noqa: PLC0415

    ranges: dict[str, Range] = {}

    def watch(name: str, layer: nn.Module) -> Any:
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            low, high = (bound.item() for bound in torch.aminmax(inputs[0]))
            before = ranges.get(name, (low, high))
            ranges[name] = (min(low, before[0]), max(high, before[1]))

        return layer.register_forward_pre_hook(note)

    hooks = [watch(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    with torch.inference_mode():
        for first in range(0, len(slices), at_once):
            network(torch.from_numpy(slices[first : first + at_once]))
    for hook in hooks:
        hook.remove()
    return ranges


def quantize(graph: Any, ranges: Ranges) -> None:
    """Have OpenVINO compute the convolutions that `ranges` names in 8-bit integers.

    Args:
        graph: a network that OpenVINO converted from PyTorch, its weights perhaps kept in half precision; it
            is changed.
        ranges: of the convolutions' inputs.

    Raises:
        ValueError: the graph lacks one of them.
    """
    ops, missing = importlib.import_module("openvino.opset8"), set(ranges)
    for node in graph.get_ordered_ops():
        name = node.get_friendly_name().removeprefix("__module.").partition("/")[0]
        if node.get_type_name() != "Convolution" or name not in ranges:
            continue
        missing.discard(name)
        inputs, weights = (node.input(place).get_source_output() for place in (0, 1))
        bounds = [np.float32(bound) for bound in with_exact_zero(*ranges[name])]
        rounded = ops.fake_quantize(inputs, *bounds, *bounds, INPUT_LEVELS)
        node.input(0).replace_source_output(rounded.output(0))
        constant = weights.get_node()
        if constant.get_type_name() == "Convert":  # from half precision
            constant = constant.input_value(0).get_node()
        greatest = np.abs(constant.get_data().astype(np.float32)).max((1, 2, 3), keepdims=True)
        rounded = ops.fake_quantize(weights, -greatest, greatest, -greatest, greatest, WEIGHT_LEVELS)
        node.input(1).replace_source_output(rounded.output(0))
    if missing:
        raise ValueError(f"it has no convolution {min(missing)} for 8-bit integers")


def with_exact_zero(low: float, high: float) -> Range:
    """A range that holds 0, moved by less than a level so that 0, a convolution's padding, is one of them."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / (INPUT_LEVELS - 1) or 1.0
    below = round(-low / step)
    return -below * step, (INPUT_LEVELS - 1 - below) * step
