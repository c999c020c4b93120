"""Training: resumed equals never stopped, unpaired never sees a pair, settings are written down."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from fixtures.models import tiny
from fixtures.runs import same, stop_at, weights
from pseudohealthy.config import MethodName, PresetName, Settings
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.methods.conditional_gan import ConditionalGAN
from pseudohealthy.methods.factory import build
from pseudohealthy.sampling.batch import Batch
from pseudohealthy.sampling.sampler import BatchSampler
from pseudohealthy.training.checkpoint import load_state, load_weights
from pseudohealthy.training.loop import describe_run, images_to_see, prefetch, train
from pseudohealthy.training.trainer import Trainer
from pseudohealthy.training.weights import DISCRIMINATORS, read_config

PROGRAM = [sys.executable, "-m", "pseudohealthy.cli.main"]


def as_file(folder: Path, settings: Settings) -> Path:
    path = folder / "settings-in.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    return path


MORE = {  # settings beside which a method's plain ones need no run of their own
    "semi_supervised": ["training.labelled_fraction=0.5"],
    "unpaired": ["losses.lesion_crop_adversarial=0.5", "losses.gradient=5"],
}
RUNS = [
    *[tiny(method, *MORE.get(method, [])) for method in get_args(MethodName)],
    *[
        tiny(method, "training.discriminator_steps=2", preset="media2020")
        for method in ("paired", "unpaired")
    ],
]


@pytest.mark.parametrize("settings", RUNS, ids=lambda settings: f"{settings.method}-{settings.preset}")
def test_a_run_stopped_between_checkpoints_ends_with_the_weights_of_one_never_stopped(
    settings: Settings, prepared: Prepared, tmp_path: Path
) -> None:
    update = {"images": 8, "checkpoint_every": 4, "preview_every": 1000}
    settings = settings.model_copy(update={"training": settings.training.model_copy(update=update)})
    train(prepared, tmp_path / "whole", settings, accelerator="cpu")
    stop_at(6, prepared, tmp_path / "stopped", settings)
    train(prepared, tmp_path / "stopped", settings, accelerator="cpu")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    assert (tmp_path / "whole/metrics.jsonl").read_text() == (tmp_path / "stopped/metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("method", "image"),
    [("paired", 6), ("unpaired", 8), ("semi_supervised", 10)],
)
def test_a_run_stopped_in_its_warm_up_or_behind_it_goes_on_as_one_never_stopped(
    method: MethodName, image: int, prepared: Prepared, tmp_path: Path
) -> None:
    """The warm-up ends at image 8; states are saved at 4 and 8, and four images later."""
    options = ["training.warm_up_images=7", "training.images=8", "training.preview_every=1000"]
    settings = tiny(method, *options, "losses.lesion_crop_adversarial=0.5")
    train(prepared, tmp_path / "whole", settings, accelerator="cpu")
    stop_at(image, prepared, tmp_path / "stopped", settings)
    train(prepared, tmp_path / "stopped", settings, accelerator="cpu")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    metrics = (tmp_path / "whole/metrics.jsonl").read_text()
    assert metrics == (tmp_path / "stopped/metrics.jsonl").read_text()
    rows = [json.loads(line) for line in metrics.splitlines()]
    assert [(row["images"], row["warm_up_images"]) for row in rows] == [(0, 8), (8, 8)]
    assert ["L_CC" in row for row in rows] == [False, True]
    assert read_config(tmp_path / "stopped/weights")["warm_up_images"] == 8


def test_a_warm_up_changes_the_weights_and_is_recorded(prepared: Prepared, tmp_path: Path) -> None:
    options = ["training.images=8", "training.preview_every=4", "training.snapshot_every=4"]
    without = tiny("paired", *options)
    warm = tiny("paired", *options, "training.warm_up_images=8")
    train(prepared, tmp_path / "without", without, accelerator="cpu")
    train(prepared, tmp_path / "warm", warm, accelerator="cpu")
    assert not same(weights(tmp_path / "without"), weights(tmp_path / "warm"))
    assert [folder.name for folder in sorted((tmp_path / "warm/snapshots").iterdir())] == [
        "0000004",
        "0000008",
    ]
    panels = sorted(panel.name for panel in (tmp_path / "warm/panels").iterdir())
    assert panels == [f"{name}.png" for name in ("0000004", "0000008", "warm_up_0000004", "warm_up_0000008")]
    clock = json.loads((tmp_path / "warm/clock.json").read_text())
    assert (clock["images"], clock["warm_up_images"]) == (8, 8)
    assert "warm_up_images" not in json.loads((tmp_path / "without/clock.json").read_text())
    assert "8 pathological images seen, after a warm-up on 8 synthetic ones" in " ".join(
        (tmp_path / "warm/weights/README.md").read_text().split()
    )


@pytest.mark.parametrize("method", ["conditional_gan", "cyclegan", "inpainter", "judge"])
def test_a_method_without_a_warm_up_ignores_its_settings(
    method: MethodName, prepared: Prepared, tmp_path: Path
) -> None:
    with_warm_up = tiny(method, "training.images=4", "training.warm_up_images=8")
    train(prepared, tmp_path / "with", with_warm_up, accelerator="cpu")
    train(prepared, tmp_path / "without", tiny(method, "training.images=4"), accelerator="cpu")
    assert same(weights(tmp_path / "with"), weights(tmp_path / "without"))


def test_by_time_a_warm_up_ends_and_goes_on_by_the_clock(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pseudohealthy.training.loop.now", Watch())
    options = ["training.minutes=0.2", "training.warm_up_fraction=0.5", "training.preview_every=1000"]
    settings = tiny("unpaired", *options)
    stop_at(6, prepared, tmp_path / "run", settings)  # in the warm-up, saved at image 4
    train(prepared, tmp_path / "run", settings, accelerator="cpu")
    # twelve seconds, a step each
    clock = json.loads((tmp_path / "run/clock.json").read_text())
    assert clock == {"images": 12, "warm_up_images": 12, "seconds": 12}
    state = load_state(tmp_path / "run/state.pt")
    rates = [each["param_groups"][0]["lr"] for each in state["optimisers"].values()]
    # the last step began when five sixths of what is behind the warm-up were over
    assert rates == pytest.approx([settings.training.learning_rate * 2 / 6] * 3)


def test_a_run_killed_without_warning_resumes_bit_for_bit(
    prepared: Prepared, prepared_folder: Path, tmp_path: Path
) -> None:
    settings = tiny("paired")
    config = as_file(tmp_path, settings)
    train(prepared, tmp_path / "whole", settings, accelerator="cpu")
    command = [*PROGRAM, "train", str(prepared_folder), "-o", str(tmp_path / "killed")]
    command += ["--config", str(config), "--device", "cpu"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    state = tmp_path / "killed/state.pt"
    while not state.exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    subprocess.run(command, check=True, capture_output=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


def test_two_processes_have_the_gradients_of_one_within_rounding(
    prepared: Prepared, prepared_folder: Path, tmp_path: Path
) -> None:
    """A step of the warm-up and one behind it, whose gradients are of one size.

    Adam's first moments are their weighted sums, as the learning rate moves nothing; weights would hide small
    gradients' errors.
    """
    options = ["training.precision=32-true", "losses.lesion_crop_adversarial=0.5"]
    options += ["networks.reconstructor_output_mode=gated"]  # at a change's clamp rounding decides a gradient
    steps = ["training.images=2", "training.warm_up_images=2", "training.learning_rate=1e-12"]
    settings = tiny("unpaired", *steps, *options)
    train(prepared, tmp_path / "one", settings, accelerator="cpu")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "pseudohealthy.cli.main", "train", str(prepared_folder), "-o", str(tmp_path / "two")]
    command += ["--config", str(as_file(tmp_path, settings)), "--device", "cpu"]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    one, two = (load_state(tmp_path / run / "state.pt")["optimisers"] for run in ("one", "two"))
    assert set(one) == set(two) == {"generators", "D_x", "D_m", "D_l"}
    for name in one:
        first, second = (
            torch.cat([moments["exp_avg"].flatten() for moments in each[name]["state"].values()])
            for each in (one, two)
        )
        assert first.norm() > 0
        assert (first - second).norm() < 1e-3 * first.norm()


def test_unpaired_training_does_not_depend_on_any_images_own_mask(
    prepared_folder: Path, tmp_path: Path
) -> None:
    """Masks of the library teach S; those of the images may be anything, in the warm-up too."""
    images = "training.images=4"
    unpaired = tiny("unpaired", images, "training.warm_up_images=4", "losses.lesion_crop_adversarial=0.5")
    before = train(Prepared.open(prepared_folder), tmp_path / "before", unpaired, accelerator="cpu")
    corrupted = tmp_path / "corrupted"
    corrupted.mkdir()
    for file in prepared_folder.iterdir():
        (corrupted / file.name).write_bytes(file.read_bytes())
    masks = np.load(corrupted / "masks.npy")
    np.save(corrupted / "masks.npy", np.random.default_rng(0).integers(0, 2, masks.shape).astype(np.uint8))
    after = train(Prepared.open(corrupted), tmp_path / "after", unpaired, accelerator="cpu")
    assert same(weights(before.parent), weights(after.parent))
    paired = train(Prepared.open(corrupted), tmp_path / "paired", tiny("paired", images), accelerator="cpu")
    honest = train(
        Prepared.open(prepared_folder), tmp_path / "honest", tiny("paired", images), accelerator="cpu"
    )
    assert not same(weights(paired.parent), weights(honest.parent))


def test_masks_that_semi_supervised_training_is_not_to_know_do_not_matter(
    prepared: Prepared, tmp_path: Path
) -> None:
    options = ["training.labelled_fraction=0.5", "training.images=4", "losses.identity_outside_lesion=1"]
    settings = tiny("semi_supervised", *options, "training.warm_up_images=4")
    own = replace(prepared, mask_library=None, mask_library_slices=None)  # the library is of the same volumes
    (known,) = set(
        BatchSampler(own, "train", frozenset({"lesion"}), settings.training).pathological["subject"]
    )
    masks = own.masks.copy()
    others = (own.slices["subject"] != known).to_numpy()
    masks[others] = np.random.default_rng(0).integers(0, 2, masks[others].shape)
    hidden, marked = replace(own, masks=masks), replace(own, masks=1 - own.masks)
    honest, corrupted, other = (
        weights(train(cohort, tmp_path / str(number), settings, accelerator="cpu").parent)
        for number, cohort in enumerate((own, hidden, marked))
    )
    assert same(honest, corrupted)
    assert not same(honest, other)


def test_every_step_of_the_discriminators_in_a_run_has_a_batch_of_its_own(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [
        "training.discriminator_steps=3",
        "training.discriminator_steps_later=2",
        "training.discriminator_epoch=1",
    ]
    settings = tiny("conditional_gan", *options, preset="media2020")  # an epoch is 8 images, four steps
    seen: list[bytes] = []
    original = ConditionalGAN.discriminator_losses

    def watching(method: ConditionalGAN, batch: Batch, fakes: dict[str, Tensor]) -> dict[str, Tensor]:
        assert batch.x_p is not None
        seen.append(batch.x_p.numpy().tobytes())
        return original(method, batch, fakes)

    monkeypatch.setattr(ConditionalGAN, "discriminator_losses", watching)
    train(prepared, tmp_path / "run", settings, accelerator="cpu")
    assert len(seen) == 4 * 3 + 4 * 2
    first = [set(seen[3 * step : 3 * step + 3]) for step in range(4)]
    assert [len(batches) for batches in first] == [3] * 4
    state = load_state(tmp_path / "run/state.pt")
    steps = {name: each["state"][0]["step"].item() for name, each in state["optimisers"].items()}
    assert steps == {"generators": 8, "D_x": 20}
    assert state["images"] == 16


class Watch:
    """A clock that advances by a second at each call."""

    def __init__(self) -> None:
        self.seconds = 1000

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


@pytest.mark.parametrize("ahead", [0, 3])
def test_prefetched_batches_are_those_drawn_one_by_one(prepared: Prepared, ahead: int) -> None:
    slices = BatchSampler(prepared, "train", build(tiny("paired")).needs, tiny("paired").training)
    with contextlib.closing(prefetch(slices.batch, 2, ahead)) as batches:
        for number in range(2, 12):
            prefetched, expected = next(batches), slices.batch(number)
            assert all(
                torch.equal(getattr(prefetched, part), getattr(expected, part))
                for part in ("x_p", "m_p", "x_h", "truth")
            )


def test_an_error_in_a_prefetched_batch_is_raised() -> None:
    def draw(number: int) -> int:
        return 1 // (5 - number)

    with contextlib.closing(prefetch(draw, 3, 2)) as numbers:
        assert [next(numbers), next(numbers)] == [0, 1]
        with pytest.raises(ZeroDivisionError):
            next(numbers)


def test_minutes_end_a_run_at_a_whole_step_of_which_there_is_a_snapshot(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pseudohealthy.training.loop.now", Watch())
    options = ["training.minutes=0.1", "training.snapshot_every=100", "training.checkpoint_every=100"]
    settings = tiny("conditional_gan", *options)
    folder = train(prepared, tmp_path / "run", settings, accelerator="cpu")
    # six seconds, a step each; `images` would have been 16
    assert read_config(folder)["images"] == 12
    assert [folder.name for folder in (tmp_path / "run/snapshots").iterdir()] == ["0000012"]
    state = load_state(tmp_path / "run/state.pt")
    assert (state["images"], state["seconds"]) == (12, 6)
    assert json.loads((tmp_path / "run/clock.json").read_text()) == {"images": 12, "seconds": 6}
    # the last step began when five sixths were over
    rates = [each["param_groups"][0]["lr"] for each in state["optimisers"].values()]
    assert rates == pytest.approx([settings.training.learning_rate * 2 / 6] * 2)
    assert yaml.safe_load((tmp_path / "run/settings.yaml").read_text())["images"] is None


def test_time_that_was_used_before_an_interruption_is_used(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pseudohealthy.training.loop.now", Watch())
    settings = tiny("conditional_gan", "training.minutes=0.1", "training.preview_every=1000")
    stop_at(6, prepared, tmp_path / "run", settings)
    assert load_state(tmp_path / "run/state.pt")["seconds"] == 2  # saved at image 4
    train(prepared, tmp_path / "run", settings, accelerator="cpu")
    assert load_state(tmp_path / "run/state.pt")["images"] == 12
    again = train(prepared, tmp_path / "run", settings, accelerator="cpu")
    assert read_config(again)["images"] == 12


@pytest.mark.parametrize("preset", ["midl2019", "media2020"])
@pytest.mark.parametrize("method", get_args(MethodName))
def test_a_description_counts_the_parameters_of_every_network(
    method: MethodName, preset: PresetName, prepared: Prepared
) -> None:
    settings = tiny(method, preset=preset)
    description, built = describe_run(prepared, settings), build(settings)
    networks = {**built.generators, **built.discriminators}
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    assert description["parameters"] == counts
    assert description["images"] == 16
    assert yaml.safe_load(yaml.safe_dump(description)) == description


def test_a_logged_loss_is_the_mean_of_its_steps(prepared: Prepared, tmp_path: Path) -> None:
    """Two runs' first logs, of one step and of three, worked out from each other."""
    losses = []
    for images in (2, 4, 6):
        settings = tiny("judge", f"training.images={images}", "training.schedule=constant")
        train(prepared, tmp_path / str(images), settings, accelerator="cpu")
        losses.append(json.loads((tmp_path / str(images) / "metrics.jsonl").read_text())["L_Seg"])
    second, third = 2 * losses[1] - losses[0], 3 * losses[2] - 2 * losses[1]
    assert losses[2] == pytest.approx((losses[0] + second + third) / 3)
    assert 0 < second < 1


def test_fine_tuning_starts_from_the_given_weights(prepared: Prepared, tmp_path: Path) -> None:
    first = train(prepared, tmp_path / "first", tiny("paired"), accelerator="cpu")
    tuned = tiny("paired", "training.learning_rate=1e-12", "training.images=2")
    train(prepared, tmp_path / "tuned", tuned, init=first, accelerator="cpu")
    start, end = (
        load_file(first / "model.safetensors"),
        load_file(tmp_path / "tuned/weights/model.safetensors"),
    )
    assert all(torch.allclose(start[name], end[name], atol=1e-9) for name in start)
    assert yaml.safe_load((tmp_path / "tuned/settings.yaml").read_text())["init"] is not None


def test_fine_tuning_goes_on_with_the_discriminators_of_a_run_where_they_are_given(
    prepared: Prepared, tmp_path: Path
) -> None:
    settings = tiny("paired", "training.images=8", "losses.lesion_crop_adversarial=0.5")
    first = train(prepared, tmp_path / "first", settings, accelerator="cpu")
    still = tiny(
        *("paired", "training.learning_rate=1e-12", "training.images=2"),
        *("training.seed=1", "losses.lesion_crop_adversarial=0.5"),
    )
    start = load_file(first / DISCRIMINATORS)
    assert {name.split(".")[0] for name in start} == set(build(settings).discriminators)

    def tuned(init: Path, name: str) -> bool:
        """Whether a run that hardly learns has the discriminators of the first one."""
        train(prepared, tmp_path / name, still, init=init, accelerator="cpu")
        end = load_file(tmp_path / name / "weights" / DISCRIMINATORS)
        return all(torch.allclose(start[key], end[key], atol=1e-6) for key in start)

    assert tuned(first, "with")
    assert not tuned(tmp_path / "first/weights_ema", "without")
    (first / DISCRIMINATORS).write_bytes(b"broken")
    with pytest.raises(InputError, match=rf"{DISCRIMINATORS}: not a readable safetensors file"):
        train(prepared, tmp_path / "broken", still, init=first, accelerator="cpu")


def test_another_method_takes_over_the_discriminators_that_it_has_too(
    prepared: Prepared, tmp_path: Path
) -> None:
    first = train(prepared, tmp_path / "first", tiny("paired", "training.images=4"), accelerator="cpu")
    still = ("training.learning_rate=1e-12", "training.images=2", "training.seed=1")
    other = tiny("unpaired", *still, "losses.lesion_crop_adversarial=0.5")
    train(prepared, tmp_path / "other", other, init=first, accelerator="cpu")
    start = load_file(first / DISCRIMINATORS)
    end = load_file(tmp_path / "other/weights" / DISCRIMINATORS)
    assert {name.split(".")[0] for name in start} < {name.split(".")[0] for name in end}
    assert all(torch.allclose(start[key], end[key], atol=1e-6) for key in start)
    wider = tiny("unpaired", *still, "networks.discriminator_width=6")
    train(prepared, tmp_path / "wider", wider, init=first, accelerator="cpu")


def test_a_method_without_discriminators_has_no_file_of_them(prepared: Prepared, tmp_path: Path) -> None:
    folder = train(prepared, tmp_path / "run", tiny("judge"), accelerator="cpu")
    assert not (folder / DISCRIMINATORS).exists()


def test_a_loss_that_is_no_number_stops_the_run(prepared: Prepared, tmp_path: Path) -> None:
    settings = tiny("paired", "training.images=40", "training.schedule=constant")
    steep = settings.training.model_copy(update={"learning_rate": 1e30})  # beyond what settings allow
    settings = settings.model_copy(update={"training": steep})
    with pytest.raises(PseudohealthyError, match="no longer a number"):
        train(prepared, tmp_path / "run", settings, accelerator="cpu")


def test_the_budget_is_whole_batches_of_images_or_epochs() -> None:
    training = tiny("paired", "training.images=null", "training.epochs=3", "training.batch_size=4").training
    assert images_to_see(training, epoch=5) == 16
    assert images_to_see(training.model_copy(update={"images": 9}), epoch=5) == 12
    assert images_to_see(training.model_copy(update={"images": 9, "minutes": 1.0}), epoch=5) is None


def test_more_processes_than_graphics_cards_are_refused_before_anything_is_written(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    settings = tiny("paired", "training.precision=32-true")
    with pytest.raises(
        InputError, match=r"2 processes need a graphics card each, found 1; give --processes 1"
    ):
        train(prepared, tmp_path / "run", settings, accelerator="auto", devices=2)
    assert not (tmp_path / "run").exists()


def test_a_full_graphics_card_is_one_line_that_says_what_to_do_and_the_run_can_go_on(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 is full. More.")

    settings = tiny("paired", "training.images=4")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", full)
        with pytest.raises(
            PseudohealthyError, match=r"too little memory left \(CUDA .+ full\); .+batch_size"
        ):
            train(prepared, tmp_path / "run", settings, accelerator="cpu")
    train(prepared, tmp_path / "run", settings, accelerator="cpu")


def test_bf16_trains_to_other_but_finite_weights_stored_in_fp32(prepared: Prepared, tmp_path: Path) -> None:
    exact_settings, settings = (tiny("paired", f"training.precision={p}") for p in ("32-true", "bf16-mixed"))
    exact = weights(train(prepared, tmp_path / "a", exact_settings, accelerator="cpu").parent)
    short = weights(train(prepared, tmp_path / "b", settings, accelerator="cpu").parent)
    assert not same(exact, short)
    assert all(tensor.isfinite().all() and tensor.dtype == torch.float32 for tensor in short.values())


def test_fabric_says_nothing_of_the_precision(prepared: Prepared, tmp_path: Path) -> None:
    heard: list[str] = []
    handler, log = logging.Handler(), logging.getLogger("lightning_fabric")
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    level = log.level
    try:
        train(prepared, tmp_path / "run", tiny("judge", "training.precision=bf16-mixed"), accelerator="cpu")
    finally:
        log.removeHandler(handler)
    assert heard == []
    assert log.level == level


def test_weights_of_a_run_fit_the_method_that_made_them(prepared: Prepared, tmp_path: Path) -> None:
    folder = train(prepared, tmp_path / "run", tiny("paired"), accelerator="cpu")
    fresh = build(tiny("paired")).generators
    load_weights(folder, fresh)
    assert same(dict(fresh.state_dict()), load_file(folder / "model.safetensors"))


def test_controls_patients_without_masks_and_a_library_are_enough_for_unpaired(tmp_path: Path) -> None:
    from fixtures.cohorts import FITTING, bids, controls, library
    from pseudohealthy.data.cohort import read_cohort
    from pseudohealthy.data.prepare import prepare

    parts = [bids(tmp_path / "p", 4, masks=False), controls(tmp_path / "c", 4), library(tmp_path / "b", 3)]
    prepare(read_cohort(parts), tmp_path / "prepared", FITTING)
    mixed = Prepared.open(tmp_path / "prepared")
    assert set(pd.unique(mixed.slices["label"])) == {"unlabelled", "healthy", "edge"}
    assert train(mixed, tmp_path / "run", tiny("unpaired"), accelerator="cpu").is_dir()
    with pytest.raises(InputError, match="no pathological train slice"):
        train(mixed, tmp_path / "paired", tiny("paired"), accelerator="cpu")
