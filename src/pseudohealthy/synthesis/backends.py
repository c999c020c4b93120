"""What runs a network on slices: PyTorch, or ONNX Runtime and OpenVINO, for which it is converted.

Torch is loaded only where it is needed: a network that was converted before needs none.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pseudohealthy import cpu
from pseudohealthy.devices import on_cpu, reproducible_convolutions
from pseudohealthy.errors import InputError, install_command
from pseudohealthy.synthesis.quantization import Ranges, quantize

if TYPE_CHECKING:
    import onnx
    from torch import nn

Name = Literal["torch", "onnxruntime", "openvino"]
Precision = Literal["f32", "bf16", "int8"]
Choice = Literal["auto", "torch", "onnxruntime", "openvino"]
Slices = NDArray[np.float32]  # (N, 1, H, W) in [0, 1]
Run = Callable[..., Slices]  # a network: slices, and masks where it takes them, to slices

PACKAGES: Mapping[Name, tuple[str, ...]] = {
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnx", "onnxscript"),
    "torch": ("torch",),
}
# Slices from which a conversion saves more time than it takes, measured with the bundled weights (width 16)
# on one core, when that for ONNX Runtime took longer than it does now; wider networks repay it sooner.
WORTH: Mapping[Name, int] = {"openvino": 64, "onnxruntime": 512, "torch": 0}
INPUTS, OUTPUT = ("x", "m"), "y"
MULTIPLE = 16  # of rows and columns: the segmentor halves them four times


def validate(choice: Choice, device: str) -> None:
    """Refuse a backend that cannot be used on a device.

    Raises:
        InputError: it is not installed, or has no use for the device.
    """
    if choice == "auto":
        return
    if not _installed(choice):
        missing = ", ".join(name for name in PACKAGES[choice] if not importlib.util.find_spec(name))
        raise InputError(
            f"backend {choice}: {missing} not installed; {install_command(choice)}, or take --backend torch"
        )
    if choice != "torch" and not on_cpu(device):
        raise InputError(
            f"backend {choice} with device {device}: it is used on the CPU; expected --device cpu, or "
            "--backend torch"
        )


def select(choice: Choice, device: str, slices: int, *, converted: bool = False) -> Name:
    """The name of the backend that runs this many slices at once.

    "auto" is PyTorch on a graphics card; on a CPU the first of OpenVINO, ONNX Runtime and PyTorch that is
    installed and whose conversion is worth its time for so many slices (`WORTH`), as OpenVINO's always is
    where the network is kept `converted`. Only the number of slices of one image decides, so that an image's
    output does not depend on what was done before it.
    """
    if choice != "auto":
        return choice
    if not on_cpu(device):
        return "torch"
    if converted and _installed("openvino"):
        return "openvino"
    return next(name for name in PACKAGES if slices >= WORTH[name] and _installed(name))


def precision_of(name: Name, *, has_ranges: bool) -> Precision:
    """What a backend computes in on this processor: the fastest that it is known to bear.

    OpenVINO's own choice is bf16 wherever there are instructions for it; without AMX it gains little.

    Args:
        name: of the backend; only OpenVINO computes in anything but f32.
        has_ranges: whether the inputs' ranges are known, which 8-bit integers need.
    """
    if name != "openvino":
        return "f32"
    if cpu.multiplies_bf16():
        return "bf16"
    return "int8" if has_ranges and cpu.multiplies_int8() else "f32"


def describe(name: Name, *, has_ranges: bool = False) -> dict[str, str]:
    """Name, version and precision of a backend, for reports; arguments as of `precision_of`."""
    precision = precision_of(name, has_ranges=has_ranges)
    return {"name": name, "version": version(name), "precision": precision}


def compile_network(
    name: Name,
    network: nn.Module | Path,
    device: str,
    slice_shape: tuple[int, int],
    inputs: int,
    *,
    ranges: Ranges | None = None,
) -> Run:
    """The network as a function of one or two arrays `(N, 1, H, W)` in [0, 1], which returns one like them.

    Outputs agree with PyTorch's within 5e-4 in f32 (ONNX Runtime 2e-5), OpenVINO's segmentor at single edges
    of a lesion within 5e-3. OpenVINO computes in bf16 where the processor multiplies matrices in it (AMX):
    the generator's within 0.02; the segmentor's, at the edges of a lesion, within 0.1. Where it multiplies
    8-bit integers (VNNI), and `ranges` are given, it computes in those: the generator's output agrees within
    0.01 outside a lesion's surroundings.

    Args:
        name: of the backend; those beside "torch" work on the CPU, with as many threads as torch has.
        network: on `device`, in evaluation mode; it is converted in memory, which takes seconds. Or, for
            OpenVINO, the file that holds it converted.
        device: for "torch".
        slice_shape: H and W.
        inputs: how many arrays the network takes.
        ranges: of the inputs of its convolutions, where they were measured.

    Raises:
        InputError: the backend cannot take the network.
    """
    if name == "torch" and not isinstance(network, Path):
        return _torch(network, device)
    try:
        if name == "onnxruntime" and not isinstance(network, Path):
            return _onnxruntime(network, slice_shape, inputs)
        precision = precision_of(name, has_ranges=bool(ranges))
        return _openvino(network, slice_shape, inputs, precision, ranges or {})
    except Exception as error:  # of whatever kind: three libraries' versions meet here
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"backend {name}: it cannot take this network ({reason}); take torch") from error


def to_onnx(network: nn.Module, inputs: int, slice_shape: tuple[int, int] | None = None) -> onnx.ModelProto:
    """A network as an ONNX graph of `x` (and `m`) `(batch, 1, rows, columns)`, which gives `y`.

    The batch is free, and so are rows and columns, multiples of 16, unless `slice_shape` is given: one size
    is converted in less than half the time.

    Args:
        network: on the CPU, in evaluation mode.
        inputs: how many arrays it takes.
        slice_shape: the only rows and columns that it is to take; None: any.
    """
    import torch  # noqa: PLC0415  (see above)

    free = torch.export.Dim
    shape = {0: free("batch")}
    if slice_shape is None:
        shape |= {2: MULTIPLE * free("rows"), 3: MULTIPLE * free("columns")}
    rows, columns = slice_shape or (4 * MULTIPLE, 3 * MULTIPLE)
    examples = tuple(torch.zeros(2, 1, rows, columns) for _ in range(inputs))
    with _quiet():
        program = torch.onnx.export(
            network,
            examples,
            input_names=INPUTS[:inputs],
            output_names=[OUTPUT],
            dynamo=True,
            dynamic_shapes=(shape,) * inputs,
            verbose=False,
        )
    assert program is not None
    return _bare(program.model_proto)


def _bare(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Without the exporter's notes, which hold paths of the machine that exported."""
    for part in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return graph


def _torch(network: nn.Module, device: str) -> Run:
    import torch  # noqa: PLC0415  (see above)

    @reproducible_convolutions()
    @torch.inference_mode()
    def run(*arrays: Slices) -> Slices:
        out: Slices = network(*(torch.from_numpy(array).to(device) for array in arrays)).cpu().numpy()
        return out

    return run


def _onnxruntime(network: nn.Module, slice_shape: tuple[int, int], inputs: int) -> Run:
    runtime = importlib.import_module("onnxruntime")
    graph = to_onnx(network, inputs, slice_shape)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = cpu.threads()
    session = runtime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(*arrays: Slices) -> Slices:
        out: Slices = session.run([OUTPUT], dict(zip(INPUTS, arrays, strict=False)))[0]
        return out

    return run


def _openvino(
    network: nn.Module | Path,
    slice_shape: tuple[int, int],
    inputs: int,
    precision: Precision,
    ranges: Ranges,
) -> Run:
    compiled = to_openvino(network, slice_shape, inputs, precision, ranges)

    def run(*arrays: Slices) -> Slices:
        out: Slices = compiled(list(arrays))[0]
        return out

    return run


def to_openvino(
    network: nn.Module | Path,
    slice_shape: tuple[int, int],
    inputs: int,
    precision: Precision,
    ranges: Ranges | None = None,
    **settings: Any,
) -> Any:
    """A network compiled by OpenVINO for this processor, with as many threads as torch has.

    Args:
        network: on the CPU, in evaluation mode; or the file that holds it converted.
        slice_shape: H and W.
        inputs: how many arrays the network takes.
        precision: that it is computed in; in "int8" the convolutions that `ranges` names, the rest in fp32.
        ranges: of the inputs of convolutions.
        settings: more of OpenVINO's.
    """
    core = openvino().Core()
    if isinstance(network, Path):
        graph = core.read_model(network)
    else:
        graph = openvino_graph(network, slice_shape, inputs)
    if precision == "int8":
        quantize(graph, ranges or {})
    ours = {
        "INFERENCE_NUM_THREADS": cpu.threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        # Processes that share the cores would all be pinned to the first of them
        "ENABLE_CPU_PINNING": cpu.threads() >= cpu.usable_cores(),
    }
    return core.compile_model(graph, "CPU", {**ours, **settings})


def openvino_graph(network: nn.Module, slice_shape: tuple[int, int], inputs: int) -> Any:
    """A network as OpenVINO's graph, for any number of slices.

    Args:
        network: on the CPU, in evaluation mode.
        slice_shape: H and W.
        inputs: how many arrays it takes.
    """
    import torch  # noqa: PLC0415  (see above)

    examples = tuple(torch.zeros(1, 1, *slice_shape) for _ in range(inputs))
    with _quiet(), _telemetry_disabled(), torch.no_grad():
        # What OpenVINO does by itself, without the check that doubles the time it takes
        traced = torch.jit.trace(network, examples, check_trace=False)
        return openvino().convert_model(
            traced, example_input=examples, input=[([-1, 1, *slice_shape], np.float32)] * inputs
        )


def openvino() -> Any:
    """The package OpenVINO, which is not everywhere installed."""
    with _quiet(), _telemetry_disabled():
        return importlib.import_module("openvino")


def _installed(name: Name) -> bool:
    return all(importlib.util.find_spec(package) for package in PACKAGES[name])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Converters warn of their own doings, which no user can change."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _telemetry_disabled() -> Iterator[None]:
    """OpenVINO reports each conversion to its makers, unless its telemetry cannot be imported.

    A machine with patients' images must send nothing.
    """
    name = "openvino_telemetry"
    absent: Any = object()
    before = sys.modules.get(name, absent)
    sys.modules.update({name: None})  # type: ignore[dict-item]  # which makes its import fail
    try:
        yield
    finally:
        sys.modules[name] = before
        if before is absent:
            sys.modules.pop(name)
