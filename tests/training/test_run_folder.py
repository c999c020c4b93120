"""The folder of a run: what is in it, and which folders are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from fixtures.models import tiny
from fixtures.runs import InterruptedRunError, same, stop_at, weights
from pseudohealthy.config import Settings
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.files import write_json
from pseudohealthy.training.loop import describe_run, train
from pseudohealthy.training.run_folder import CLOCK
from pseudohealthy.training.weights import read_config


def test_snapshots_are_whole_and_the_same_after_an_interruption(prepared: Prepared, tmp_path: Path) -> None:
    options = ["training.snapshot_every=6", "training.checkpoint_every=8", "training.preview_every=1000"]
    settings = tiny("conditional_gan", *options)
    train(prepared, tmp_path / "whole", settings, accelerator="cpu")
    stop_at(14, prepared, tmp_path / "stopped", settings)
    left = tmp_path / "stopped/snapshots/0000014"  # of an image that the run which goes on never passes
    (tmp_path / "stopped/snapshots/0000012").rename(left)
    train(prepared, tmp_path / "stopped", settings, accelerator="cpu")
    for run in ("whole", "stopped"):
        snapshots = sorted((tmp_path / run / "snapshots").iterdir())
        assert [folder.name for folder in snapshots] == ["0000006", "0000012", "0000016"]
        for folder in snapshots:
            assert {file.name for file in folder.iterdir()} == {
                "model.safetensors",
                "config.json",
                "README.md",
            }
            assert read_config(folder)["images"] == int(folder.name)
            first = tmp_path / "whole/snapshots" / folder.name
            assert (folder / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()
        last = load_file(snapshots[-1] / "model.safetensors")
        assert same(last, load_file(tmp_path / run / "weights/model.safetensors"))
        assert not list((tmp_path / run).glob(".*"))
    assert not same(load_file(snapshots[0] / "model.safetensors"), last)


def test_a_judges_snapshots_are_of_the_averaged_weights(prepared: Prepared, tmp_path: Path) -> None:
    train(prepared, tmp_path, tiny("judge", "training.snapshot_every=6"), accelerator="cpu")
    last = tmp_path / "snapshots/0000016"
    snapshot, averaged, raw = (
        load_file(folder / "model.safetensors")
        for folder in (last, tmp_path / "weights_ema", tmp_path / "weights")
    )
    assert same(snapshot, averaged)
    assert not same(snapshot, raw)
    assert read_config(last)["averaged"]


def test_a_snapshot_that_cannot_be_written_whole_is_not_there_at_all(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny("conditional_gan", "training.snapshot_every=2", "training.preview_every=1000")

    def full(*_: object) -> None:
        raise PseudohealthyError("no room for the last file")

    monkeypatch.setattr("pseudohealthy.training.checkpoint.card", full)
    with pytest.raises(PseudohealthyError, match="no room"):
        train(prepared, tmp_path / "run", settings, accelerator="cpu")
    assert list((tmp_path / "run/snapshots").iterdir()) == []


def test_the_run_folder_says_what_was_done(prepared: Prepared, tmp_path: Path) -> None:
    settings = tiny("paired", "training.images=44", "training.preview_every=40")
    folder = train(prepared, tmp_path / "run", settings, accelerator="cpu")
    written = yaml.safe_load((tmp_path / "run/settings.yaml").read_text())
    assert written == describe_run(prepared, settings, None, "cpu")
    assert Settings.model_validate(written["settings"]) == settings
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [40, 44]
    assert set(rows[0]) == {
        *("images", "L_CC", "L_GAN1", "L_Seg", "D_x"),
        *("L_Synthetic", "L_ResidualLesion", "L_IdentityOutside", "L_HealthyIdentity"),
    }
    panels = sorted((tmp_path / "run/panels").iterdir())
    assert [panel.name for panel in panels] == ["0000040.png", "0000044.png"]
    assert panels[0].read_bytes().startswith(b"\x89PNG")
    assert {file.name for file in folder.iterdir()} == {
        *("model.safetensors", "discriminators.safetensors", "config.json", "README.md")
    }
    assert not list((tmp_path / "run").glob(".*"))


def test_another_run_in_the_same_folder_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    train(prepared, tmp_path / "run", tiny("judge", "training.images=2"), accelerator="cpu")
    before = (tmp_path / "run/weights/model.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"settings\.training\.seed was 0 and is 1"):
        train(prepared, tmp_path / "run", tiny("judge", "training.images=2", "training.seed=1"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(InputError, match="folder of its own"):
        train(prepared, tmp_path / "mine", tiny("judge"))
    assert (tmp_path / "run/weights/model.safetensors").read_bytes() == before


def test_a_run_of_a_version_without_a_setting_goes_on_where_it_is_at_what_was_done_before(
    prepared: Prepared, tmp_path: Path
) -> None:
    train(prepared, tmp_path / "run", tiny("judge", "training.images=2"), accelerator="cpu")
    path = tmp_path / "run/settings.yaml"
    written = yaml.safe_load(path.read_text())
    del written["settings"]["training"]["warm_up_images"]
    path.write_text(yaml.safe_dump(written))
    assert train(prepared, tmp_path / "run", tiny("judge", "training.images=2"), accelerator="cpu").is_dir()
    other = tiny("judge", "training.images=2", "training.warm_up_images=4")
    with pytest.raises(InputError, match=r"warm_up_images was 0 and is 4"):
        train(prepared, tmp_path / "run", other, accelerator="cpu")


def test_what_a_killed_process_left_half_written_is_no_other_run(prepared: Prepared, tmp_path: Path) -> None:
    """Killed while it wrote its settings, a run leaves a part of them and nothing else."""
    out = tmp_path / "run"
    out.mkdir()
    (out / ".settings.yaml.x1y2z3.yaml").write_text("version: 0.")
    (out / ".part-abc").mkdir()
    train(prepared, out, tiny("judge", "training.images=2"), accelerator="cpu")
    assert (out / "weights/model.safetensors").is_file()


def test_how_often_a_run_is_saved_and_previewed_may_change_and_the_weights_do_not(
    prepared: Prepared, tmp_path: Path
) -> None:
    settings = tiny("judge", "training.images=8")
    train(prepared, tmp_path / "whole", settings, accelerator="cpu")
    stop_at(6, prepared, tmp_path / "stopped", settings)
    other = tiny("judge", "training.images=8", "training.preview_every=2", "training.checkpoint_every=3")
    train(prepared, tmp_path / "stopped", other, accelerator="cpu")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    assert (tmp_path / "stopped/panels/0000006.png").is_file()


def test_weights_know_what_their_training_data_look_like(tmp_path: Path) -> None:
    from fixtures.cohorts import FITTING, bids
    from pseudohealthy.data.cohort import read_cohort
    from pseudohealthy.data.out_of_distribution import Reference
    from pseudohealthy.data.prepare import prepare

    prepare(read_cohort([bids(tmp_path / "bids", 8)]), tmp_path / "prepared", FITTING)
    cohort = Prepared.open(tmp_path / "prepared")
    settings = tiny("paired", "training.images=2")
    weights = train(cohort, tmp_path / "run", settings, accelerator="cpu")
    reference = Reference.read(weights)
    assert reference is not None
    assert (reference.data, reference.volumes) == (cohort.manifest["key"], 5)
    assert (tmp_path / "run/weights_ema/training_distribution.json").is_file()


def test_a_run_that_ends_while_it_saves_for_the_last_time_is_finished_the_next_time(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny("conditional_gan")
    with monkeypatch.context() as patched:

        def written(path: Path, values: Mapping[str, Any]) -> None:
            if path.name == CLOCK and values["images"] == settings.training.images:
                raise InterruptedRunError
            write_json(path, values)

        patched.setattr("pseudohealthy.training.run_folder.write_json", written)
        with pytest.raises(InterruptedRunError):
            train(prepared, tmp_path / "ended", settings, accelerator="cpu")
    for run in ("ended", "whole"):
        train(prepared, tmp_path / run, settings, accelerator="cpu")
    clock = json.loads((tmp_path / "ended" / CLOCK).read_text(encoding="utf-8"))
    assert clock["images"] == settings.training.images
    assert same(weights(tmp_path / "ended"), weights(tmp_path / "whole"))
