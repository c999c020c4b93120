"""Files as version 0.1 wrote them, rewritten: the program of today reads them, and nothing else changes."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors import safe_open

from fixtures.full_disk import full_disk
from fixtures.models import saved
from pseudohealthy.bids_app.records import read_record
from pseudohealthy.config import Settings
from pseudohealthy.data.out_of_distribution import Reference
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.compare import read_scores
from pseudohealthy.experiment.config import read_experiment
from pseudohealthy.experiment.publish import render
from pseudohealthy.settings_files import read_yaml, validated
from pseudohealthy.synthesis.model import Model
from scripts.migrate_0_1 import main

ROOT = Path(__file__).resolve().parents[2]
OLD_SETTINGS = {
    "networks": {"output_mode": "output", "discriminator_activation": "critic"},
    "losses": {
        "synthetic_supervision": "truth",
        "residual_lesion": "clean",
        "identity_outside_lesion": "outside",
        "healthy_identity": "healthy",
        "mask_discriminator_input": "mask_critic_input",
    },
    "training": {
        "synthetic_fraction": "inserted",
        "fake_pool_size": "pool",
        "discriminator_steps": "critic_steps",
        "discriminator_steps_later": "critic_steps_later",
        "discriminator_epoch": "critic_epoch",
        "labelled_fraction": "labelled_share",
        "warm_up_fraction": "warm_up_share",
        "snapshot_every": "keep_every",
        "preview_every": "panel_every",
    },
}
OLD_PREPROCESSING = {
    "slice_shape": "field",
    "clip_region": "clip",
    "crop_centre": "centre",
    "slice_selection": "slices",
}
FAMILIAR = {
    "format": 1,
    "data": "key",
    "volumes": 3,
    "figures": {
        name: {"median": 0.5, "deviation": 0.1}
        for name in ("level", "rim", "white", "flatness", "noise", "sulci")
    },
    "farthest": 2.0,
    "limit": 2.5,
}


def old_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of today under the names of version 0.1."""
    groups = {
        group: {names.get(key, key): value for key, value in settings[group].items()}
        for group, names in OLD_SETTINGS.items()
    }
    return {**settings, **groups}


def old_weights(folder: Path) -> Path:
    """A weights folder as version 0.1 wrote it."""
    saved(folder)
    config = json.loads((folder / "config.json").read_text())
    card = (folder / "README.md").read_text()
    old = {
        **config,
        "settings": old_settings(config["settings"]),
        "preprocessing": {OLD_PREPROCESSING.get(key, key): v for key, v in config["preprocessing"].items()},
    }
    for part in ("settings", "preprocessing"):
        assert json.dumps(config[part]) in card
        card = card.replace(json.dumps(config[part]), json.dumps(old[part]))
    (folder / "README.md").write_text(card)
    (folder / "config.json").write_text(json.dumps(old, indent=1) + "\n")
    header, tensors = parts(folder / "model.safetensors")
    header["__metadata__"]["config"] = json.dumps(old)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + tensors)
    (folder / "familiar.json").write_text(json.dumps(FAMILIAR, indent=1) + "\n")
    return folder


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header and the bytes of the tensors of a safetensors file."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_weights_folder_is_read_and_its_tensors_are_the_same_bytes(tmp_path: Path) -> None:
    folder = old_weights(tmp_path / "weights")
    today = contents(saved(tmp_path / "today"))
    with pytest.raises(InputError):
        Model.load(folder)
    tensors = parts(folder / "model.safetensors")[1]
    assert main([str(folder)]) == 0
    assert parts(folder / "model.safetensors")[1] == tensors
    with safe_open(folder / "model.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
    assert config == json.loads((folder / "config.json").read_text()) == json.loads(today["config.json"])
    assert (folder / "README.md").read_bytes() == today["README.md"]
    assert not (folder / "familiar.json").exists()
    reference = Reference.read(folder)
    assert reference is not None
    assert reference.model_dump(mode="json", exclude_defaults=True) == FAMILIAR
    assert Model.load(folder).provenance["training_distribution"] == reference.model_dump(mode="json")


def test_a_second_run_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old_weights(tmp_path / "weights")
    (tmp_path / "experiment.yaml").write_text(BLOCK)
    assert main([str(tmp_path)]) == 0
    names = ("README.md", "config.json", "familiar.json", "model.safetensors")
    rewritten = [str(tmp_path / "experiment.yaml"), *(f"{tmp_path / 'weights' / name}" for name in names)]
    *lines, last = capsys.readouterr().out.splitlines()
    assert sorted(lines) == sorted(f"rewritten: {path}" for path in rewritten)
    assert last.startswith(f"{len(rewritten)} files rewritten, 0 could not be read")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*.*")}
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("0 files rewritten, 0 could not be read")
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*.*")} == before


def test_the_settings_of_a_run_are_read(tmp_path: Path) -> None:
    today = json.loads((saved(tmp_path / "w") / "config.json").read_text())["settings"]
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"settings": old_settings(today), "images": 4}, sort_keys=False))
    assert main([str(file)]) == 0
    assert validated(Settings, read_yaml(file)["settings"], "it").model_dump(mode="json") == today


BLOCK = """# An experiment with every style of comment
name: lgg  # the clean name
preset: default
settings:
  # truth is what the lesion hides
  losses:
    truth: 1.0   # was 0.5
    "clean": 0
  networks: {output: residual, critic: linear}  # output: of the generator
  training: {images: 4000, keep_every: 1000, panel_every: 500}
judges:
  first: {training: &length {images: 9000, keep_every: 100}}
  lesion_slices_only: {losses: {healthy_negatives: 0}, training: *length}
  other_seed: {training: {images: 9000, seed: 2}}
  held_back: {training: {images: 9000, seed: 3, pool: 0}}
held_back: held_back  # not of the panel
methods:
  - method: paired
  - {method: cyclegan, training: {pool: 50}}
"""
NEW = (
    BLOCK.replace("    truth: 1.0", "    synthetic_supervision: 1.0")
    .replace('    "clean": 0', "    residual_lesion: 0")
    .replace("output: residual, critic: linear", "output_mode: residual, discriminator_activation: linear")
    .replace("keep_every", "snapshot_every")
    .replace("panel_every", "preview_every")
    .replace("held_back", "held_out")
    .replace("pool: ", "fake_pool_size: ")
)


def test_an_experiment_keeps_its_comments_and_its_layout(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(BLOCK)
    with pytest.raises(InputError):
        read_experiment(file)
    assert main([str(file)]) == 0
    assert file.read_text() == NEW
    assert read_experiment(file).held_out == "held_out"


def test_scores_and_tables_have_the_names_of_today(tmp_path: Path) -> None:
    columns = "volume\tslices\tlesion_voxels\tidentity\tvoid\tobey.moved_dice\tflicker"
    (tmp_path / "volumes.tsv").write_text(f"{columns}\nNA\t3\t9\t0.5\tn/a\t0.25\t1.0\n")
    (tmp_path / "table1.tsv").write_text("method\tobey.left_without_mask.mean\nflicker\t0.1250\n")
    (tmp_path / "long.tsv").write_text("volume\tmeasure\tvalue\nflicker\tobey.stayed\t1e-05\n")
    with pytest.raises(InputError, match=r"volumes.tsv: .*, void is now unreliable; .*migrate_0_1.py"):
        read_scores(tmp_path)
    assert main([str(tmp_path)]) == 0
    new = "volume\tslices\tlesion_voxels\tidentity\tunreliable"
    new += "\tmask_control.moved_mask_dice\tthrough_plane_inconsistency"
    assert (tmp_path / "volumes.tsv").read_text() == f"{new}\nNA\t3\t9\t0.5\tn/a\t0.25\t1.0\n"
    assert read_scores(tmp_path).index.tolist() == ["NA"]
    table = "method\tmask_control.residual_without_mask.mean\nflicker\t0.1250\n"
    assert (tmp_path / "table1.tsv").read_text() == table
    long = "volume\tmeasure\tvalue\nflicker\tmask_control.leak_at_original_site\t1e-05\n"
    assert (tmp_path / "long.tsv").read_text() == long


def test_a_summary_keeps_its_numbers(tmp_path: Path) -> None:
    old = {
        "void": False,
        "obey": {"moved_dice": {"mean": 0.1 + 0.2, "std": 1e-17}},
        "judge": {"held_back": {"weights": {"familiar": FAMILIAR, "sha256": "0"}}},
        "familiar": {"distance": 1.5, "limit": 2.5},
        "rows": [{"flicker": 3}, None, "held_back"],
    }
    (tmp_path / "summary.json").write_text(json.dumps(old))
    assert main([str(tmp_path)]) == 0
    assert json.loads((tmp_path / "summary.json").read_text()) == {
        "unreliable": False,
        "mask_control": {"moved_mask_dice": {"mean": 0.1 + 0.2, "std": 1e-17}},
        "judge": {"held_out": {"weights": {"training_distribution": FAMILIAR, "sha256": "0"}}},
        "out_of_distribution": {"distance": 1.5, "limit": 2.5},
        "rows": [{"through_plane_inconsistency": 3}, None, "held_out"],
    }


def test_results_of_version_0_1_are_not_rendered_but_named(tmp_path: Path) -> None:
    (tmp_path / "table1.json").write_text(json.dumps({"rows": [{"method": "paired", "obey": {}}]}))
    for name in ("volumes.tsv", "curves.tsv"):
        (tmp_path / name).write_text("volume\n")
    with pytest.raises(InputError, match=rf"obey is now mask_control; .*migrate_0_1.py {tmp_path}"):
        render(tmp_path)


def test_a_subject_without_an_image_is_recorded_as_such(tmp_path: Path) -> None:
    record = {"subject": "sub-2", "image": None, "status": "skipped", "reason": "no FLAIR image"}
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/sub-2.json").write_text(json.dumps(record))
    assert read_record(tmp_path, "sub-2") is None
    assert main([str(tmp_path)]) == 0
    read = read_record(tmp_path, "sub-2")
    assert read is not None
    assert (read.status, read.reason) == ("no_image", "no FLAIR image")


def test_a_damaged_file_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    damaged = {
        "a.json": b'{"void": ',
        "b.yaml": b"losses: {truth: 1\n",
        "c.safetensors": b"short",
        "d.safetensors": struct.pack("<Q", 2) + b"[]",
        "e.tsv": b"\xff\xfe",
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "f.json").write_text('{"void": true}')
    script = [sys.executable, str(ROOT / "scripts/migrate_0_1.py"), str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == f"rewritten: {tmp_path}/f.json"
    assert f"1 files rewritten, {len(damaged)} could not be read" in done.stdout
    lines = done.stderr.splitlines()
    assert [line.partition(": left as it is (")[0] for line in lines] == [f"{tmp_path}/{n}" for n in damaged]
    assert contents(tmp_path) == {**damaged, "f.json": b'{\n "unreliable": true\n}\n'}


def test_what_is_not_there_is_told_before_anything_is_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text('{"void": true}')
    assert main([str(tmp_path), str(tmp_path / "none")]) == 2
    result = f"{tmp_path}/none: no such file or folder; nothing was rewritten\n"
    assert capsys.readouterr() == ("", result)
    assert contents(tmp_path) == {"a.json": b'{"void": true}'}
    assert main([]) == 2


def test_a_full_disk_leaves_every_file_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = old_weights(tmp_path / "weights")
    before = contents(folder)
    with full_disk(10):
        assert main([str(folder)]) == 1
    assert contents(folder) == before
    assert len(capsys.readouterr().err.splitlines()) == len(before)
