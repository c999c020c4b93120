"""The package's networks in OpenVINO's format: its weights, used without torch, and no one else's."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fixtures.brains import brain, ellipse, lesion, slices, write
from fixtures.models import saved
from pseudohealthy.synthesis import backends, converted_networks
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.converted_networks import CHECKSUMS, FOLDER, save_converted
from pseudohealthy.synthesis.model import Model
from pseudohealthy.training.weights import WEIGHTS, digest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)


def test_those_of_the_package_are_its_weights() -> None:
    """With new weights: python -m scripts.convert_weights."""
    plain, other = Model.load(bundled_weights(), "cpu"), Model.load(bundled_weights(), "cpu", "openvino")
    shape = plain.preprocessing.slice_shape
    x = slices(1, ellipse(shape, (0.45 * shape[0], 0.45 * shape[1])), widths=(0,))
    assert sorted(other.converted) == ["G", "S"]
    for letter, ours in (("G", plain.synthesize(x)), ("S", plain.segment(x))):
        theirs = backends.to_openvino(other.converted[letter], shape, 1, "f32")([x[:, None]])[0]
        np.testing.assert_allclose(theirs[:, 0], ours, rtol=0, atol=5e-4)


def test_a_scan_is_processed_without_torch(tmp_path: Path) -> None:
    image = write(tmp_path / "scan_FLAIR.nii.gz", (brain() + 200 * lesion()).astype(np.int16))
    code = """
import sys
from pseudohealthy.cli.program import main
try:
    main()
except SystemExit as end:
    assert not end.code
assert "torch" not in sys.modules
"""
    command = [sys.executable, "-c", code, "synthesize", str(image), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "(openvino)" in done.stdout
    assert (tmp_path / "out/scan_desc-pseudohealthy_report.html").is_file()


def test_what_they_cannot_do_is_done_with_the_weights() -> None:
    """Put disease into a healthy slice: of the reconstructor there is no converted file."""
    model = Model.load(bundled_weights(), "cpu", "openvino")
    assert "networks" not in vars(model)
    shape = model.preprocessing.slice_shape
    x = slices(1, ellipse(shape, (0.45 * shape[0], 0.45 * shape[1])), widths=(0,))
    assert model.reconstruct(x, x > 0.5).shape == x.shape
    assert sorted(vars(model)["networks"]) == ["G", "R", "S"]


def test_weights_elsewhere_are_converted_as_they_are_used(tmp_path: Path) -> None:
    """Whatever lies beside them: a graph made elsewhere may be any program."""
    shutil.copytree(bundled_weights(), tmp_path / "copy")
    assert list((tmp_path / "copy" / FOLDER).iterdir())
    assert Model.load(tmp_path / "copy", "cpu", "openvino").converted == {}


def test_those_of_other_weights_are_not_used_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "weights")
    monkeypatch.setattr(converted_networks, "bundled_weights", lambda: folder)
    plain = Model.load(folder, "cpu")
    shape, networks = plain.preprocessing.slice_shape, {"G": plain.networks["G"]}
    assert Model.load(folder, "cpu", "openvino").converted == {}
    files = save_converted(folder, digest(folder), networks, shape)
    model = Model.load(folder, "cpu", "openvino")
    assert [*model.converted.values()] == files[:1]
    x = slices(2, ellipse(shape, (28, 20)), widths=(0,))
    np.testing.assert_allclose(model.synthesize(x), plain.synthesize(x), rtol=0, atol=2e-3)
    (folder / WEIGHTS).write_bytes((saved(tmp_path / "others", "unpaired") / WEIGHTS).read_bytes())
    sha256 = digest(folder)
    assert Model.load(folder, "cpu", "openvino").converted == {}
    again = save_converted(folder, sha256, networks, shape)
    assert sorted((folder / FOLDER).iterdir()) == sorted([*again, folder / FOLDER / CHECKSUMS])
    assert not set(again) & set(files)


@pytest.mark.parametrize("name", ["xml", "bin", CHECKSUMS])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_damaged_ones_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str
) -> None:
    folder = saved(tmp_path / "weights")
    monkeypatch.setattr(converted_networks, "bundled_weights", lambda: folder)
    plain = Model.load(folder, "cpu")
    shape = plain.preprocessing.slice_shape
    save_converted(folder, digest(folder), {"S": plain.networks["S"]}, shape)
    (damaged,) = (folder / FOLDER).glob(f"*{name}")
    content = damaged.read_bytes()
    damaged.unlink()
    if damage != "gone":
        flipped = bytes([*content[:9], content[9] ^ 1, *content[10:]])
        damaged.write_bytes(flipped if damage == "flipped" else content[:-9])
    model = Model.load(folder, "cpu", "openvino")
    assert model.converted == {}
    x = slices(2, ellipse(shape, (28, 20)), widths=(0,))
    np.testing.assert_allclose(model.segment(x), plain.segment(x), rtol=0, atol=2e-3)
