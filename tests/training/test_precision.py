"""In which precision a training computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fixtures.models import tiny
from fixtures.runs import same, stop_at, weights
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.training.loop import train
from pseudohealthy.training.precision import precision


def test_precision_is_that_of_the_settings() -> None:
    assert precision(tiny("paired", "training.precision=bf16-mixed").training, "cpu") == "bf16-mixed"
    assert precision(tiny("paired", "training.precision=32-true").training, "cpu") == "32-true"


@pytest.mark.parametrize(("faster", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_processor_computes_in_bf16_where_it_is_faster_in_it(
    faster: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pseudohealthy.training.precision.trains_faster_in_bf16", lambda: faster)
    assert precision(tiny("paired").training, "cpu") == expected


def test_a_run_goes_on_in_the_precision_in_which_it_was_begun(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor that would have begun it in another."""
    settings = tiny("paired", "training.images=8", "training.preview_every=1000")
    monkeypatch.setattr("pseudohealthy.training.precision.trains_faster_in_bf16", lambda: False)
    train(prepared, tmp_path / "whole", settings, accelerator="cpu")
    stop_at(6, prepared, tmp_path / "stopped", settings)
    monkeypatch.setattr("pseudohealthy.training.precision.trains_faster_in_bf16", lambda: True)
    assert precision(settings.training, "cpu") == "bf16-mixed"
    assert precision(settings.training, "cpu", tmp_path / "nowhere") == "bf16-mixed"
    train(prepared, tmp_path / "stopped", settings, accelerator="cpu")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    chosen = tiny("paired", "training.images=8", "training.precision=bf16-mixed")
    with pytest.raises(InputError, match=r"precision was auto and is bf16-mixed"):
        train(prepared, tmp_path / "stopped", chosen, accelerator="cpu")


@pytest.mark.parametrize(("has_units", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_graphics_card_that_only_emulates_bf16_computes_in_fp32(
    has_units: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or has_units
    )
    training = tiny("paired").training
    assert [precision(training, name) for name in ("cuda", "auto")] == [expected] * 2
