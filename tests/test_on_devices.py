"""What a graphics card computes against what the CPU does; each test runs on the CPU, too, where it can.

No two devices sum in the same order. Where both compute in fp32, outputs of a network differ by rounding
alone. Adam's first steps have the size of the learning rate whatever a gradient's, so that rounding may turn
the step of a weight that hardly matters: after n steps weights may differ by 2 n times the learning rate.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from benchmarks import __main__ as benchmarks
from fixtures.brains import box, slices
from fixtures.models import saved, tiny
from fixtures.runs import stop_at, weights
from pseudohealthy.assessment.resegmentation import coordinates_auroc
from pseudohealthy.config import MethodName, Settings
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import PseudohealthyError
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.methods.factory import build
from pseudohealthy.sampling.sampler import BatchSampler
from pseudohealthy.synthesis.model import Model
from pseudohealthy.training.loop import train
from pseudohealthy.training.trainer import Trainer

CARDS = torch.cuda.device_count() if torch.cuda.is_available() else 0
ON_CARD = [pytest.mark.cuda, pytest.mark.skipif(not CARDS, reason="no graphics card that torch can use")]
on_devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_CARD)])
on_card = pytest.mark.parametrize("device", [pytest.param("cuda", marks=ON_CARD)])

EXACT = ("training.precision=32-true", "losses.cycle_noise=0")  # noise is another on each kind of device
FIRST_STEP, LATER_STEPS = (5e-3, 1e-4), (5e-2, 5e-3)  # of losses, relative and absolute
FP32, TF32 = 1e-4, 2e-2  # of images and probabilities in [0, 1]


@pytest.fixture(autouse=True)
def freed() -> Iterator[None]:
    """Each test begins with the whole memory of the card."""
    yield
    if CARDS:
        torch.cuda.empty_cache()


def started(settings: Settings, device: str) -> Trainer:
    torch.manual_seed(0)
    return Trainer(Fabric(accelerator=device, devices=1), build(settings), settings, total=100)


def losses_of(steps: range, trainer: Trainer, slices: BatchSampler) -> dict[str, float]:
    """Mean losses of some steps."""
    for number in steps:
        trainer.step(slices.batch(number).to(trainer.fabric.to_device), number)
    return trainer.losses()


@on_devices
@pytest.mark.parametrize("method", get_args(MethodName))
def test_losses_are_near_those_of_the_cpu(method: MethodName, device: str, prepared: Prepared) -> None:
    settings = tiny(method, *EXACT)
    here, there = started(settings, "cpu"), started(settings, device)
    drawn = BatchSampler(prepared, "train", here.method.needs, settings.training)
    for steps, (rel, least) in ((range(1), FIRST_STEP), (range(1, 5), LATER_STEPS)):
        expected = losses_of(steps, here, drawn)
        assert losses_of(steps, there, drawn) == pytest.approx(expected, rel=rel, abs=least)


@on_devices
def test_a_device_trains_in_the_precision_that_suits_it_and_its_weights_are_used_on_a_cpu(
    device: str, prepared: Prepared, tmp_path: Path
) -> None:
    settings = tiny("unpaired", "losses.lesion_crop_adversarial=0.5", "training.images=8")
    folder = train(prepared, tmp_path / "run", settings, accelerator=device)
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run").values())
    rows = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert all(np.isfinite(list(json.loads(row).values())).all() for row in rows)
    x = np.asarray(prepared.images[:3])
    of_cpu, of_device = (Model.load(folder, name) for name in ("cpu", device))
    np.testing.assert_allclose(of_device.synthesize(x), of_cpu.synthesize(x), atol=FP32)


@on_devices
def test_a_resumed_run_ends_with_the_weights_of_one_never_stopped(
    device: str, prepared: Prepared, tmp_path: Path
) -> None:
    settings = tiny("paired", "losses.lesion_crop_adversarial=0.5", "training.images=8")
    train(prepared, tmp_path / "whole", settings, accelerator=device)
    stop_at(6, prepared, tmp_path / "stopped", settings, device)
    train(prepared, tmp_path / "stopped", settings, accelerator=device)
    assert apart(tmp_path / "whole", tmp_path / "stopped") <= (0 if device == "cpu" else 1e-6)


@on_devices
@pytest.mark.parametrize("back", [False, True], ids=["from the CPU", "to the CPU"])
def test_a_run_goes_on_on_another_device(back: bool, device: str, prepared: Prepared, tmp_path: Path) -> None:
    settings = tiny("unpaired", *EXACT, "training.images=8")
    first, second = (device, "cpu") if back else ("cpu", device)
    train(prepared, tmp_path / "whole", settings, accelerator="cpu")
    stop_at(6, prepared, tmp_path / "moved", settings, first)
    train(prepared, tmp_path / "moved", settings, accelerator=second)
    most = 2 * 4 * settings.training.learning_rate  # four steps, of which the last two were done again
    assert apart(tmp_path / "whole", tmp_path / "moved") <= (0 if device == "cpu" else most)


def apart(one: Path, other: Path) -> float:
    """The greatest difference of two runs' weights."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


@on_devices
@pytest.mark.parametrize("method", get_args(MethodName))
def test_networks_give_what_they_give_on_the_cpu(method: MethodName, device: str, tmp_path: Path) -> None:
    """In fp32 within rounding; in TF32, which the program does not use for it, within three digits."""
    folder = saved(tmp_path / "weights", method, mirrored=True)
    of_cpu, of_device = (Model.load(folder, name) for name in ("cpu", device))
    x = slices(10, box((64, 48), (6, 58), (6, 42)), widths=(0,), contrast=0.1)
    for letter in of_cpu.networks:
        arrays = (x, (x > 0.5).astype(np.float32))[: 2 if letter in "RI" else 1]
        expected = of_cpu._apply(letter, *arrays)
        np.testing.assert_allclose(of_device._apply(letter, *arrays), expected, atol=FP32)
        with torch.inference_mode():
            tensors = (torch.from_numpy(array)[:, None].to(device) for array in arrays)
            plain = of_device.networks[letter](*tensors)[:, 0].cpu().numpy()
        np.testing.assert_allclose(plain, expected, atol=TF32)


@on_devices
def test_lesions_are_segmented_again_about_as_well_as_on_the_cpu(device: str) -> None:
    brain = box((32, 24), (2, 30), (2, 22))
    masks = np.zeros((16, 32, 24), dtype=np.uint8)
    masks[:, 8:16, 6:14] = 1
    images = slices(16, brain, widths=(0,), contrast=0.1)
    volumes = np.repeat(["a", "b", "c", "d"], 4)
    judged = SliceSet(images, masks, volumes, heights=np.tile([0.2, 0.4, 0.6, 0.8], 4))
    here, there = (coordinates_auroc(judged, seed=0, steps=20, device=name) for name in ("cpu", device))
    np.testing.assert_allclose(there, here, atol=0.02)


@pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=ON_CARD)]
)
def test_the_benchmarks_run(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, page = tmp_path / "performance.json", tmp_path / "performance.md"
    parts = "inference" if device == "cpu" else "inference,roofline,volume,training,around"
    options = ["--quick", "--width", "4", "--device", device, "--parts", parts]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options, "--out", str(out), "--page", str(page)])
    benchmarks.main()
    rows = {row["name"]: row for row in json.loads(out.read_text())["rows"]}
    assert {"G_torch_w4", "S_torch_w4"} <= rows.keys()
    assert (device == "cpu") == ("kernels_paired_w4_b4" not in rows)


@on_card
@pytest.mark.parametrize("method", get_args(MethodName))
def test_no_step_waits_for_the_card(method: MethodName, device: str, prepared: Prepared) -> None:
    trainer = started(tiny(method), device)
    drawn = BatchSampler(prepared, "train", trainer.method.needs, trainer.training)
    batch = drawn.batch(0).to(trainer.fabric.to_device)
    trainer.step(batch, 0)  # in which libraries are loaded
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.step(batch, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@on_card
def test_training_needs_no_more_memory_as_it_goes_on(device: str, prepared: Prepared) -> None:
    trainer = started(tiny("paired", "losses.lesion_crop_adversarial=0.5"), device)
    drawn = BatchSampler(prepared, "train", trainer.method.needs, trainer.training)
    used = []
    for number in range(120):  # 200 crops of earlier steps fill their pool
        trainer.step(drawn.batch(number).to(trainer.fabric.to_device), number)
        used.append(torch.cuda.memory_allocated())
    assert max(used[110:]) <= max(used[100:110])


@on_card
def test_a_full_card_is_one_line_that_says_what_to_do(
    device: str, prepared: Prepared, tmp_path: Path
) -> None:
    folder = saved(tmp_path / "weights")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-5)
    try:
        with pytest.raises(PseudohealthyError, match=r"too little memory left \(.+\); .+batch_size") as told:
            train(prepared, tmp_path / "run", tiny("paired"), accelerator=device)
        assert (told.value.exit_code, len(str(told.value).splitlines())) == (1, 1)
        with pytest.raises(PseudohealthyError, match=r"too little memory left \(.+\); .+--device cpu"):
            Model.load(folder, device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@on_card
@pytest.mark.skipif(CARDS < 2, reason="fewer than two graphics cards")
def test_two_cards_share_a_training(device: str, prepared_folder: Path, tmp_path: Path) -> None:
    short = ["training.images=8", "training.batch_size=2", "networks.width=4", "training.precision=32-true"]
    train_one = [sys.executable, "-m", "pseudohealthy.cli.main", "train", str(prepared_folder)]
    options = ["--device", device, *(part for each in short for part in ("--set", each))]
    for processes in ("1", "2"):
        out = ["-o", str(tmp_path / processes), "--processes", processes]
        done = subprocess.run([*train_one, *options, *out], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert apart(tmp_path / "1", tmp_path / "2") <= 2 * 4 * 1e-4
