from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.brains import LPS, brain, head, lesion, write
from fixtures.cohorts import FITTING, SELECTED, bids, brats, controls, isles, library, one_slice, participants
from fixtures.full_disk import full_disk
from pseudohealthy import __version__
from pseudohealthy.config import SPLITS
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.data.volume_slices import VolumeSlices
from pseudohealthy.errors import RESEARCH_USE, InputError, PseudohealthyError


@pytest.mark.parametrize("make", [bids, brats, isles])
def test_each_layout_becomes_slices(tmp_path: Path, make: Any) -> None:
    cohort = read_cohort([make(tmp_path / "data", 5)])
    prepare(cohort, tmp_path / "out", FITTING)
    prepared = Prepared.open(tmp_path / "out")
    assert prepared.slices.groupby("label").size().to_dict() == {
        "edge": 30,
        "healthy": 40,
        "pathological": 20,
    }
    for volume in cohort.volumes:
        rows = prepared.slices[prepared.slices["subject"] == volume.subject]
        stack = VolumeSlices.of(volume, FITTING)
        assert rows["z"].tolist() == list(SELECTED)
        np.testing.assert_array_equal(prepared.images[rows["row"]], stack.arrays()["images"])
        np.testing.assert_array_equal(
            prepared.masks[rows["row"]], (lesion() > 0).T[SELECTED.start : SELECTED.stop]
        )
        assert rows["lesion_voxels"].tolist() == stack.table["lesion_voxels"].tolist()


def test_volumes_of_a_subject_share_a_split_and_splits_share_none(tmp_path: Path) -> None:
    for number in range(1, 9):
        for session in ("1", "2"):
            name = f"sub-{number}/ses-{session}/anat/sub-{number}_ses-{session}"
            write(tmp_path / f"data/{name}_FLAIR.nii.gz", brain(number))
            write(tmp_path / f"data/derivatives/lesions/{name}_label-L_mask.nii.gz", lesion())
    manifest = prepare(read_cohort([tmp_path / "data"]), tmp_path / "out", FITTING, seed=3)
    slices = Prepared.open(tmp_path / "out").slices
    of_split = [set(slices.loc[slices["split"] == split, "subject"]) for split in SPLITS]
    assert [len(subjects) for subjects in of_split] == [5, 1, 2]
    assert len(set.union(*of_split)) == 8
    assert slices.groupby(["subject", "session"]).size().tolist() == [18] * 16
    assert [set(manifest["totals"][split]["subjects"]) for split in SPLITS] == of_split
    assert sum(totals["volumes"] for totals in manifest["totals"].values()) == 16


def test_patients_without_masks_controls_and_a_library(tmp_path: Path) -> None:
    folders = [
        bids(tmp_path / "ours", 4, masks=False),
        controls(tmp_path / "healthy", 4),
        library(tmp_path / "masks", 2),
    ]
    manifest = prepare(read_cohort(folders), tmp_path / "out", FITTING)
    prepared = Prepared.open(tmp_path / "out")
    assert manifest["totals"]["train"]["slices"] == {
        "pathological": 0,
        "healthy": 24,
        "unlabelled": 24,
        "edge": 12,
    }
    assert prepared.slices.groupby(["group", "label"]).size().to_dict() == {
        ("control", "edge"): 24,
        ("control", "healthy"): 48,
        ("patient", "unlabelled"): 48,
    }
    assert not prepared.masks.any()
    assert prepared.mask_library is not None
    assert prepared.mask_library_slices is not None
    assert set(prepared.mask_library_slices["group"]) == {"library"}
    assert set(prepared.mask_library_slices["split"]) == {"train"}
    np.testing.assert_array_equal(prepared.mask_library[:4], (lesion() > 0).T[8:12])


def test_volumes_of_one_slice_are_all_of_one_height_and_have_no_ends(tmp_path: Path) -> None:
    data = one_slice(tmp_path / "data", 5, 4)
    prepare(read_cohort([data]), tmp_path / "out", FITTING)
    prepared = Prepared.open(tmp_path / "out")
    table = prepared.slices
    assert table["label"].tolist() == ["pathological"] * 5 + ["healthy"] * 4
    assert set(table["height"]) == set(table["z"]) == {0}
    assert table["lesion_voxels"].tolist() == [6 * 8] * 5 + [0] * 4
    assert set(table["split"][table["label"] == "healthy"]) == set(SPLITS)
    for row, subject in zip(table["row"], table["subject"], strict=True):
        number = int(subject)
        plane = (
            np.where(lesion()[..., 9] > 0, 300, brain(number)[..., 9])
            if number <= 5
            else brain(number)[..., 9]
        )
        ceiling = np.percentile(plane[plane > 0], 99.5)
        expected = np.clip(plane / ceiling, 0, 1).T
        np.testing.assert_allclose(prepared.images[row], expected, atol=1e-6)


def test_masks_of_a_library_that_are_not_for_training_stay_out(tmp_path: Path) -> None:
    masks = library(tmp_path / "masks", 2)
    participants(masks, "participant_id\tsplit", "sub-B01\ttest", "sub-B02\ttrain")
    prepare(read_cohort([bids(tmp_path / "data", 3), masks]), tmp_path / "out", FITTING)
    table = Prepared.open(tmp_path / "out").mask_library_slices
    assert table is not None
    assert set(table["subject"]) == {"B02"}


def test_truths_are_kept_only_where_every_image_has_one(tmp_path: Path) -> None:
    phantoms, patients = bids(tmp_path / "phantoms", 3, truths=True), bids(tmp_path / "patients", 3)
    prepare(read_cohort([phantoms]), tmp_path / "all", FITTING)
    prepared = Prepared.open(tmp_path / "all")
    assert prepared.truth is not None
    changed = np.asarray(prepared.truth != prepared.images)
    assert changed.any()
    assert not changed[prepared.masks == 0].any()
    prepare(read_cohort([phantoms, patients]), tmp_path / "some", FITTING)
    assert Prepared.open(tmp_path / "some").truth is None
    assert not (tmp_path / "some" / "truth.npy").exists()


def test_the_manifest_tells_where_slices_come_from(tmp_path: Path) -> None:
    manifest = prepare(read_cohort([bids(tmp_path / "data", 3)]), tmp_path / "out", FITTING, seed=5)
    assert json.loads((tmp_path / "out/manifest.json").read_text()) == manifest
    assert manifest["version"] == __version__
    assert manifest["research_use"] == RESEARCH_USE
    assert manifest["settings"] == FITTING.model_dump(mode="json")
    assert (manifest["seed"], manifest["fractions"], manifest["cohort"]) == (5, [0.6, 0.15, 0.25], "data")
    assert manifest["volumes"][1]["inputs"]["mask"]["path"] == (
        "derivatives/lesions/sub-02/anat/sub-02_label-lesion_mask.nii.gz"
    )
    assert str(tmp_path) not in json.dumps(manifest)


def test_the_same_again_does_nothing_wherever_the_data_lie(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = prepare(read_cohort([bids(tmp_path / "data", 3)]), out, FITTING)
    times = {path: path.stat().st_mtime_ns for path in [out, *out.iterdir()]}
    shutil.copytree(tmp_path / "data", tmp_path / "elsewhere" / "data")
    assert prepare(read_cohort([tmp_path / "elsewhere" / "data"]), out, FITTING) == first
    assert {path: path.stat().st_mtime_ns for path in [out, *out.iterdir()]} == times


def test_something_else_is_told_apart_and_left_alone(tmp_path: Path) -> None:
    data, out = bids(tmp_path / "data", 3), tmp_path / "out"
    prepare(read_cohort([data]), out, FITTING)
    before = {path: path.read_bytes() for path in out.iterdir()}
    other = FITTING.model_copy(update={"clip_region": "all"})
    changes: dict[str, dict[str, Any]] = {
        r'with other clip_region "brain" \(now "all"\); choose another folder': {"settings": other},
        r"with other seed 0 \(now 1\)": {"seed": 1},
        r"with other split fractions": {"fractions": (0.4, 0.3, 0.3)},
    }
    for result, change in changes.items():
        arguments: dict[str, Any] = {"settings": FITTING, **change}
        with pytest.raises(InputError, match=result):
            prepare(read_cohort([data]), out, **arguments)
    write(data / "sub-02/anat/sub-02_FLAIR.nii.gz", brain(77))
    with pytest.raises(InputError, match="with other files of data 02; choose another folder"):
        prepare(read_cohort([data]), out, FITTING)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_foreign_folder_is_left_alone_and_an_empty_one_is_used(tmp_path: Path) -> None:
    cohort, out = read_cohort([bids(tmp_path / "data", 3)]), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="out: exists already; choose another folder"):
        prepare(cohort, out, FITTING)
    (out / "thesis.txt").unlink()
    prepare(cohort, out, FITTING)
    assert len(Prepared.open(out).slices) == 54


def test_all_that_cannot_be_used_is_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    data = bids(tmp_path / "data", 6)
    image = "sub-{0}/anat/sub-{0}_FLAIR.nii.gz"
    mask = "derivatives/lesions/sub-{0}/anat/sub-{0}_label-lesion_mask.nii.gz"
    cut = data / image.format("01")
    cut.write_bytes(cut.read_bytes()[:2000])
    (data / image.format("02")).write_text("not an image")
    write(data / image.format("03"), np.where(brain() == 150, np.nan, brain().astype(np.float32)))
    write(data / mask.format("04"), lesion()[:-1])
    write(data / mask.format("05"), lesion(), LPS * 2)
    with pytest.raises(InputError) as error:
        prepare(read_cohort([data]), tmp_path / "out", FITTING)
    headline, *lines = str(error.value).splitlines()
    assert headline == "5 of 6 volumes cannot be used; nothing was written:"
    places = ["sub-01/", "sub-02/", "sub-03/", "derivatives/lesions/sub-04/", "derivatives/lesions/sub-05/"]
    assert len(lines) == 5
    assert all(line.startswith(f"  {data}/{place}") for line, place in zip(lines, places, strict=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_heads_are_told_each_in_a_line_and_nothing_is_written(tmp_path: Path) -> None:
    cohort = bids(tmp_path / "cohort", 4)
    for path in sorted(cohort.glob("sub-0[12]/anat/*_FLAIR.nii.gz")):
        write(path, head(brain(), noise=5))
    with pytest.raises(InputError) as result:
        prepare(read_cohort([cohort]), tmp_path / "out", FITTING)
    headline, *lines = str(result.value).splitlines()
    assert headline == "2 of 4 volumes cannot be used; nothing was written:"
    assert all("_FLAIR.nii.gz: has its skull or noise around it (" in line for line in lines)
    assert not (tmp_path / "out").exists()


def test_a_refused_cohort_leaves_no_folders_above_out(tmp_path: Path) -> None:
    data = bids(tmp_path / "data", 3)
    write(data / "sub-02/anat/sub-02_FLAIR.nii.gz", 0 * brain())
    with pytest.raises(InputError, match="1 of 3 volumes cannot be used"):
        prepare(read_cohort([data]), tmp_path / "deep" / "down" / "out", FITTING)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    write(data / "sub-02/anat/sub-02_FLAIR.nii.gz", brain(2))
    prepare(read_cohort([data]), tmp_path / "deep" / "down" / "out", FITTING)
    assert [path.name for path in (tmp_path / "deep" / "down").iterdir()] == ["out"]


def test_a_full_disk_is_reported_and_nothing_is_left(tmp_path: Path) -> None:
    cohort = read_cohort([bids(tmp_path / "data", 3)])
    with full_disk(), pytest.raises(PseudohealthyError, match="out: cannot be written"):
        prepare(cohort, tmp_path / "out", FITTING)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_library_whose_lesions_lie_beside_the_field_has_no_array(tmp_path: Path) -> None:
    wide = np.zeros((48, 200, 20), dtype=np.uint8)
    wide[20:24, :4, 10] = 1
    masks = tmp_path / "masks"
    write(masks / "derivatives/masks/sub-B01/anat/sub-B01_label-L_mask.nii.gz", wide)
    manifest = prepare(read_cohort([bids(tmp_path / "data", 3), masks]), tmp_path / "out", FITTING)
    assert manifest["arrays"].keys() == {"images", "masks"}
    assert not (tmp_path / "out" / "library.npy").exists()
    assert Prepared.open(tmp_path / "out").mask_library is None


def test_an_image_that_vanished_is_told_too(tmp_path: Path) -> None:
    cohort = read_cohort([bids(tmp_path / "data", 3)])
    assert cohort.volumes[1].image
    cohort.volumes[1].image.unlink()
    with pytest.raises(InputError, match=r"1 of 3 volumes .*\n.*sub-02_FLAIR.nii.gz does not exist"):
        prepare(cohort, tmp_path / "out", FITTING)


def test_a_split_without_lesions_is_told_before_anything_is_written(tmp_path: Path) -> None:
    data = bids(tmp_path / "data", 3)
    participants(data, "participant_id\tsplit", "sub-01\ttrain", "sub-02\tval", "sub-03\ttest")
    write(data / "derivatives/lesions/sub-02/anat/sub-02_label-lesion_mask.nii.gz", lesion() * 0)
    with pytest.raises(InputError, match="no lesion slice in the val split"):
        prepare(read_cohort([data]), tmp_path / "out", FITTING)
    assert not (tmp_path / "out").exists()


def test_black_masks_of_controls_promise_no_lesion(tmp_path: Path) -> None:
    healthy = controls(tmp_path / "healthy", 3)
    for name in ("sub-H01", "sub-H02", "sub-H03"):
        write(healthy / f"derivatives/lesions/{name}/anat/{name}_label-lesion_mask.nii.gz", lesion() * 0)
    cohort = read_cohort([bids(tmp_path / "data", 3, masks=False), healthy])
    manifest = prepare(cohort, tmp_path / "out", FITTING)
    assert manifest["totals"]["val"]["slices"] == {
        "pathological": 0,
        "healthy": 12,
        "unlabelled": 12,
        "edge": 6,
    }


def test_killed_halfway_there_is_no_folder(tmp_path: Path) -> None:
    data, out = bids(tmp_path / "data", 3), tmp_path / "out"
    program = f"""
import os, signal
from pathlib import Path
from pseudohealthy.config import Preprocessing
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
def progress(done, total, what):
    if what == "read 03":
        os.kill(os.getpid(), signal.SIGKILL)
settings = Preprocessing.model_validate_json({FITTING.model_dump_json()!r})
prepare(read_cohort([Path({str(data)!r})]), Path({str(out)!r}), settings, progress=progress)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert not out.exists()
    prepare(read_cohort([data]), out, FITTING)
    assert len(Prepared.open(out).slices) == 54


def test_stopped_halfway_nothing_is_left(tmp_path: Path) -> None:
    def stop(_done: int, _total: int, what: str) -> None:
        if what == "read 03":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(read_cohort([bids(tmp_path / "data", 3)]), tmp_path / "out", FITTING, progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    cohort = read_cohort([bids(tmp_path / "data", 3)])
    (tmp_path / "file").touch()
    with pytest.raises(PseudohealthyError, match="file/out: cannot be written") as error:
        prepare(cohort, tmp_path / "file" / "out", FITTING)
    assert error.value.exit_code == 1


def test_of_two_at_once_the_second_to_end_is_told_and_harms_nothing(tmp_path: Path) -> None:
    cohort, other = (read_cohort([bids(tmp_path / name, count)]) for name, count in (("one", 3), ("two", 4)))

    def meanwhile(done: int, total: int, _what: str) -> None:
        if done == total:
            prepare(other, tmp_path / "out", FITTING)

    with pytest.raises(PseudohealthyError, match="out: cannot be written") as told:
        prepare(cohort, tmp_path / "out", FITTING, progress=meanwhile)
    assert (told.value.exit_code, len(str(told.value).splitlines())) == (1, 1)
    assert len(Prepared.open(tmp_path / "out").manifest["volumes"]) == 4
    assert prepare(other, tmp_path / "out", FITTING)["cohort"] == other.name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "out", "two"]


def test_progress_counts_every_step_once(tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    cohort = read_cohort([bids(tmp_path / "data", 3)])
    prepare(cohort, tmp_path / "out", FITTING, progress=lambda *step: steps.append(step))
    assert steps == [(0, 3, "read 01"), (1, 3, "read 02"), (2, 3, "read 03"), (3, 3, "")]
    steps.clear()
    prepare(cohort, tmp_path / "out", FITTING, progress=lambda *step: steps.append(step))
    assert [what for _, _, what in steps] == ["compare 01", "compare 02", "compare 03", ""]


def test_memory_does_not_grow_with_the_cohort(tmp_path: Path) -> None:
    def peak(subjects: int) -> int:
        cohort = read_cohort([bids(tmp_path / f"data{subjects}", subjects)])
        tracemalloc.start()
        prepare(cohort, tmp_path / f"out{subjects}", FITTING)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(3)  # whatever is imported or cached on first use
    assert peak(12) <= 1.3 * peak(4)
