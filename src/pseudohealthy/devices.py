"""The devices that networks run on: which one, how exactly it computes, and what to do when it is full.

A device goes by torch's name of it, such as "cpu" or "cuda:0"; torch is loaded only where it is needed, as
that takes longer than processing a slice does.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from pseudohealthy.errors import InputError, PseudohealthyError

ON_CPU = "give --device cpu"  # what to do about a device that is absent or full
# Of Linux with a graphics card. NVIDIA's in /dev may be made no sooner than the card is first used
CARD_FILES = ("dev/nvidia*", "proc/driver/nvidia", "dev/nvmap", "dev/kfd", "dev/dxg")
FOUND_IN = 3  # sentences of torch's message: what is missing, how much was requested, how much there is


def device_type(name: str) -> str:
    """The kind of device: of "auto" it is "cuda" where a graphics card is available, else "cpu"."""
    if name != "auto":
        return name
    if "torch" not in sys.modules and not _may_have_card():
        return "cpu"
    import torch  # noqa: PLC0415  (see above)

    return "cuda" if torch.cuda.is_available() else "cpu"


def _may_have_card() -> bool:
    """Whether torch must be asked: False where it was built for CPUs alone, or the system has no card."""
    if version("torch").endswith("+cpu"):
        return False
    return sys.platform != "linux" or any(any(Path("/").glob(name)) for name in CARD_FILES)


def on_cpu(device: str) -> bool:
    """Whether a device of this name is the CPU."""
    return device.partition(":")[0] == "cpu"


def device_of(name: str) -> str:
    """The device of that name; "auto" is cuda where a graphics card is available, else cpu.

    Raises:
        InputError: it cannot be used here.
    """
    name = device_type(name)
    if name == "cpu":
        return name
    import torch  # noqa: PLC0415  (see above)

    try:
        return str(torch.empty(0, device=name).device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name} cannot be used here ({reason}); try --device cpu") from error


def expect_cards(count: int) -> None:
    """Make sure that each of `count` processes can have a graphics card of its own.

    Raises:
        InputError: there are fewer cards, or none.
    """
    import torch  # noqa: PLC0415  (see above)

    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not cards:
        raise InputError("device cuda cannot be used here (torch finds no graphics card); try --device cpu")
    if cards < count:
        raise InputError(
            f"{count} processes need a graphics card each, found {cards}; give --processes {cards}, or "
            "--device cpu"
        )


@contextlib.contextmanager
def reproducible_convolutions() -> Iterator[None]:
    """Inside, a graphics card computes convolutions of fp32 numbers in fp32, and each time in the same order.

    By default it first rounds the numbers to TF32, to three digits, and sums in any order. Elsewhere nothing
    changes.
    """
    from torch.backends import cudnn  # noqa: PLC0415  (see above)

    conv = getattr(cudnn, "conv", None)
    exact = (cudnn, "allow_tf32", False) if conv is None else (conv, "fp32_precision", "ieee")  # torch < 2.9
    options = [exact, (cudnn, "deterministic", True), (cudnn, "benchmark", False)]
    before = [getattr(owner, name) for owner, name, _ in options]
    try:
        for owner, name, value in options:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(options, before, strict=True):
            setattr(owner, name, value)


@contextlib.contextmanager
def full_memory_explained(remedy: str) -> Iterator[None]:
    """Inside, a graphics card without enough memory is an error of one line.

    Args:
        remedy: what to do, beside ending other programs on the card.

    Raises:
        PseudohealthyError: the memory did not suffice.
    """
    try:
        yield
    except RuntimeError as error:
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(error, torch.OutOfMemoryError):
            raise
        reason = ". ".join(" ".join(str(error).split()).split(". ")[:FOUND_IN])
        raise PseudohealthyError(
            f"the graphics card has too little memory left ({reason}); end other programs on it, or {remedy}"
        ) from error
