"""The devices that networks run on: which one, how exactly it computes, and what to do when it is full."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch.backends import cudnn

from pseudohealthy.errors import InputError, PseudohealthyError

ON_CPU = "give --device cpu"  # what to do about a device that is absent or full
FOUND_IN = 3  # sentences of torch's message: what is missing, how much was requested, how much there is


def device_type(name: str) -> str:
    """The kind of device: of "auto" it is "cuda" where a graphics card is available, else "cpu"."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is cuda where a graphics card is available, else cpu.

    Raises:
        InputError: it cannot be used here.
    """
    name = device_type(name)
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name} cannot be used here ({reason}); try --device cpu") from error


def expect_cards(count: int) -> None:
    """Make sure that each of `count` processes can have a graphics card of its own.

    Raises:
        InputError: there are fewer cards, or none.
    """
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
    except torch.OutOfMemoryError as error:
        reason = ". ".join(" ".join(str(error).split()).split(". ")[:FOUND_IN])
        raise PseudohealthyError(
            f"the graphics card has too little memory left ({reason}); end other programs on it, or {remedy}"
        ) from error
