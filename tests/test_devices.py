"""Which device is used, how it computes, and what is told of one that is absent or full."""

from __future__ import annotations

import pytest
import torch
from torch.backends import cudnn

from pseudohealthy.devices import (
    device_of,
    device_type,
    expect_cards,
    full_memory_explained,
    reproducible_convolutions,
)
from pseudohealthy.errors import InputError, PseudohealthyError

MESSAGE = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.15 GiB of which 15.25 "
    "MiB is free. Including non-PyTorch memory, this process has 79.13 GiB memory in use."
)


@pytest.mark.parametrize(("there", "kind"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_a_graphics_card_where_there_is_one(
    there: bool, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert [device_type(name) for name in ("auto", "cpu", "cuda")] == [kind, "cpu", "cuda"]


def test_a_device_that_is_not_there_is_refused_in_one_line() -> None:
    assert device_of("cpu") == "cpu"
    with pytest.raises(InputError, match=r"^device banana cannot be used here \(.+\); try --device cpu$"):
        device_of("banana")


@pytest.mark.parametrize(
    ("cards", "complaint"),
    [(0, "device cuda cannot be used here .+ try --device cpu"), (1, "2 processes .+ found 1"), (2, None)],
)
def test_each_process_needs_a_card(
    cards: int, complaint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    if complaint is None:
        expect_cards(2)
    else:
        with pytest.raises(InputError, match=complaint):
            expect_cards(2)


def test_convolutions_are_reproducible_inside_alone() -> None:
    def state() -> tuple[bool, bool, bool]:
        exact = not cudnn.allow_tf32 if not hasattr(cudnn, "conv") else cudnn.conv.fp32_precision == "ieee"
        return exact, cudnn.deterministic, cudnn.benchmark

    before = state()
    with reproducible_convolutions():
        assert state() == (True, True, False)
    assert state() == before
    with pytest.raises(KeyError), reproducible_convolutions():
        raise KeyError
    assert state() == before
    assert state() != (True, True, False)


def test_a_full_card_is_told_in_one_line_with_what_to_do() -> None:
    with pytest.raises(PseudohealthyError) as told, full_memory_explained("give --device cpu"):
        raise torch.OutOfMemoryError(MESSAGE)
    assert str(told.value) == (
        "the graphics card has too little memory left (CUDA out of memory. Tried to allocate 20.00 MiB. GPU "
        "0 has a total capacity of 79.15 GiB of which 15.25 MiB is free); end other programs on it, or give "
        "--device cpu"
    )
    assert told.value.exit_code == 1
    with pytest.raises(RuntimeError, match="another"), full_memory_explained("give --device cpu"):
        raise RuntimeError("another")
