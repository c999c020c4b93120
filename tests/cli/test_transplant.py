"""`transplant`: one image and its mask, many as a data set that `prepare` takes, and one line for a fault."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from fixtures.bids_validator import errors
from fixtures.brains import LPS, SHAPE, box, brain, ellipse, reoriented, write
from fixtures.cohorts import FITTING, controls, library, participants
from fixtures.command_line import Run, refused
from fixtures.models import saved
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.files import sha256_of

LESION = box(SHAPE, (14, 20), (16, 24), (8, 12))
NAMES = [
    "sub-01_desc-transplanted_FLAIR.json",
    "sub-01_desc-transplanted_FLAIR.nii.gz",
    "sub-01_label-lesion_desc-transplanted_mask.json",
    "sub-01_label-lesion_desc-transplanted_mask.nii.gz",
]

# Of what is no file, in place of one: what is said of it
KINDS = {
    "folder": "is a folder",
    "pipe": "is a device or pipe",
    "dead link": "is a link to nothing",
}


@pytest.fixture
def run(run: Run, weights: Path) -> Run:
    """`transplant` with these arguments."""
    return partial(run, "transplant", "--weights", weights, "--device", "cpu")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write(tmp_path / "in" / "sub-01_FLAIR.nii.gz", brain())


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Of four controls, whose own data set has a split."""
    folder = controls(tmp_path / "study", 4)
    rows = [f"sub-H0{n}\tcontrol\t{split}" for n, split in enumerate(("train", "train", "val", "test"), 1)]
    participants(folder, "participant_id\tgroup\tsplit", *rows)
    return sorted(folder.glob("sub-*/anat/*_FLAIR.nii"))


def contents(out: Path) -> dict[str, str]:
    """The digests of all files under a folder."""
    paths = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {path.relative_to(out).as_posix(): sha256_of(path) for path in paths}


def unusable(path: Path, kind: str) -> None:
    """Something of `KINDS` at a path."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")


def read(out: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The image and the mask of sub-01."""
    return (
        np.asarray(nib.load(out / NAMES[1]).get_fdata()),
        np.asarray(nib.load(out / NAMES[3]).get_fdata()) > 0,
    )


def test_a_mask_of_one_s_own_is_where_the_lesion_comes(run: Run, tmp_path: Path, image: Path) -> None:
    lesion = write(tmp_path / "lesion.nii.gz", LESION.astype(np.uint8))
    code, said, warned = run(image, "--lesion", lesion, "-o", tmp_path / "out")
    assert (code, warned) == (0, "")
    assert said.splitlines()[0] == "sub-01: lesion of 0.192 ml (lesion.nii.gz)"
    assert said.splitlines()[-1] == RESEARCH_USE
    assert sorted(contents(tmp_path / "out")) == NAMES
    made, mask = read(tmp_path / "out")
    assert np.array_equal(mask, LESION)
    changed = made != brain()
    assert changed[LESION].mean() > 0.9
    assert not changed[..., [*range(8), *range(12, 20)]].any()


def test_a_drawn_lesion_is_in_the_brain_on_the_image_s_grid(run: Run, tmp_path: Path) -> None:
    image = tmp_path / "sub-01_FLAIR.nii.gz"
    nib.save(reoriented(brain(), LPS, "SRP"), image)
    assert run(image, "-o", tmp_path / "out")[0] == 0
    for name in (NAMES[1], NAMES[3]):
        written, source = nib.load(tmp_path / "out" / name), nib.load(image)
        assert np.array_equal(written.affine, source.affine)
        assert written.shape == source.shape
    made, mask = read(tmp_path / "out")
    before = np.asarray(nib.load(image).dataobj)
    assert mask.any()
    assert (before[mask] > 0).all()
    assert (made == before)[~mask].mean() > 0.9


def test_the_seed_decides_all_and_what_is_there_stays(run: Run, tmp_path: Path, image: Path) -> None:
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        assert run(image, "--seed", seed, "-o", tmp_path / name)[0] == 0
    before = contents(tmp_path / "one")
    assert before == contents(tmp_path / "again")
    (_, one), (_, other) = (read(tmp_path / name) for name in ("one", "other"))
    assert (one & other).sum() < 0.9 * one.sum()
    code, said, _ = run(image, "-o", tmp_path / "one")
    assert (code, said.splitlines()[0][:33]) == (0, "there already, made of the same: ")
    code, said, fault = run(image, "--seed", 1, "-o", tmp_path / "one")
    assert (code, said) == (2, "")
    assert "was made with another seed; nothing is replaced" in fault
    write(image, brain(7))
    assert "was made with another image; nothing" in run(image, "-o", tmp_path / "one")[2]
    assert contents(tmp_path / "one") == before


def test_sidecars_tell_seed_weights_origin_volume_and_use(run: Run, tmp_path: Path, image: Path) -> None:
    run(image, "--seed", 5, "--volume", 0.5, "-o", tmp_path)
    _, mask = read(tmp_path)
    for name in (NAMES[0], NAMES[2]):
        facts = json.loads((tmp_path / name).read_text())
        assert RESEARCH_USE in facts["Description"]
        assert facts["Sources"] == ["sub-01_FLAIR.nii.gz"]
        made = facts["Transplantation"]
        assert made["lesion_ml"] == pytest.approx(mask.sum() / 1000, abs=1e-3)
        assert made["lesion_ml"] == pytest.approx(0.5, rel=0.2)
        assert (made["mask"], made["made_from"]["seed"], made["made_from"]["volume_ml"]) == ("drawn", 5, 0.5)
        assert made["made_from"]["weights"] == made["weights"]["sha256"]
        assert made["research_use"] == RESEARCH_USE
    mask_facts = json.loads((tmp_path / NAMES[2]).read_text())
    assert (mask_facts["Type"], mask_facts["SpatialReference"]) == ("Lesion", NAMES[1])


def test_several_are_a_data_set_that_the_program_s_own_reader_takes(
    run: Run, tmp_path: Path, images: list[Path]
) -> None:
    out = tmp_path / "made"
    code, said, warned = run(*images, "--count", 2, "-o", out)
    assert (code, warned) == (0, "")
    assert "8 made, 0 there already. Next: pseudohealthy prepare" in said
    cohort = read_cohort([out])
    assert cohort.notes == ()
    assert {v.session for v in cohort.volumes} == {"lesion1", "lesion2"}
    assert [v.subject for v in cohort.volumes[::2]] == ["H01", "H02", "H03", "H04"]
    assert [v.split for v in cohort.volumes[::2]] == ["train", "train", "val", "test"]
    assert all(v.group == "patient" and v.image and v.mask for v in cohort.volumes)
    description = json.loads((out / "dataset_description.json").read_text())
    assert (description["DatasetType"], description["GeneratedBy"][0]["Name"]) == (
        "derivative",
        "pseudohealthy",
    )
    manifest = prepare(cohort, tmp_path / "prepared", FITTING)
    assert sum(totals["slices"]["pathological"] for totals in manifest["totals"].values()) > 20
    beside = read_cohort([out, tmp_path / "study"])
    assert {v.split for v in beside.volumes if v.subject.endswith("H04")} == {"test"}


def test_the_official_validator_finds_no_error_in_the_data_set(
    run: Run, tmp_path: Path, images: list[Path]
) -> None:
    later = write(tmp_path / "study/sub-H01/ses-b/anat/sub-H01_ses-b_FLAIR.nii.gz", brain(9))
    given: list[list[object]] = [[*images[:2]], [images[0], later], [images[0], later, "--count", 2]]
    for number, arguments in enumerate(given):
        out = tmp_path / f"made{number}"
        assert run(*arguments, "-o", out)[0] == 0
        assert errors(out) == []


def test_the_same_command_makes_what_is_missing(run: Run, tmp_path: Path, images: list[Path]) -> None:
    out = tmp_path / "made"
    assert run(*images[:2], "-o", out)[0] == 0
    before = contents(out)
    lost = out / "sub-H02" / "anat"
    for path in lost.iterdir():
        path.unlink()
    code, said, _ = run(*images[:2], "-o", out)
    assert (code, "1 made, 1 there already" in said) == (0, True)
    assert contents(out) == before
    assert "1 made, 2 there already" in run(*images[:3], "-o", out)[1]
    assert (out / "participants.tsv").read_text() == (
        "participant_id\tgroup\tsplit\nsub-H01\tpatient\ttrain\nsub-H02\tpatient\ttrain\nsub-H03\tpatient\tval\n"
    )
    assert contents(out).items() >= {key: value for key, value in before.items() if "sub-" in key}.items()


def test_the_first_lesion_is_the_same_alone_and_among_many(
    run: Run, tmp_path: Path, images: list[Path]
) -> None:
    run(images[0], "-o", tmp_path / "alone")
    run(*images[:2], "--count", 2, "-o", tmp_path / "many")
    digests = [
        {digest for name, digest in contents(tmp_path / folder).items() if "mask.nii" in name}
        for folder in ("alone", "many")
    ]
    assert (len(digests[0]), len(digests[1])) == (1, 4)
    assert digests[0] < digests[1]


def test_images_of_one_name_have_other_lesions_in_each_subject_and_session(run: Run, tmp_path: Path) -> None:
    places = ("sub-01/ses-1/anat", "sub-01/ses-2/anat", "sub-02/anat", "sub-03/anat")
    same = [write(tmp_path / "study" / place / "FLAIR.nii.gz", brain()) for place in places]
    assert run(*same, "-o", tmp_path / "made")[0] == 0
    masks = {name: digest for name, digest in contents(tmp_path / "made").items() if "mask.nii" in name}
    assert len(masks) == len(set(masks.values())) == 4
    assert run(same[1], "-o", tmp_path / "alone")[0] == 0
    alone = contents(tmp_path / "alone")["FLAIR_label-lesion_desc-transplanted_mask.nii.gz"]
    assert alone == masks["sub-01/ses-2/anat/sub-01_ses-2_label-lesion_desc-transplanted_mask.nii.gz"]


def test_an_image_that_cannot_be_used_stops_no_other(run: Run, tmp_path: Path, images: list[Path]) -> None:
    write(images[1], np.zeros(SHAPE, np.int16))
    code, said, warned = run(*images[:3], "-o", tmp_path / "made")
    assert code == 1
    assert "2 made, 0 there already, 1 failed" in said
    assert warned.startswith("failed: ")
    assert "sub-H02_FLAIR.nii: every voxel is 0" in warned
    assert [line[:7] for line in (tmp_path / "made" / "participants.tsv").read_text().splitlines()[1:]] == [
        "sub-H01",
        "sub-H03",
    ]
    assert [v.subject for v in read_cohort([tmp_path / "made"]).volumes] == ["H01", "H03"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_cannot_even_be_opened_stops_no_other(
    run: Run, tmp_path: Path, images: list[Path], kind: str
) -> None:
    images[1].unlink()
    unusable(images[1], kind)
    for _ in range(2):
        code, said, warned = run(*images[:2], "--count", 2, "-o", tmp_path / "made")
        assert (code, len(warned.splitlines())) == (1, 1)
        assert "1 failed. Next" in said
        assert warned.startswith("failed: ")
        assert f"sub-H02_FLAIR.nii {KINDS[kind]}" in warned
    assert "0 made, 2 there already" in said
    assert [v.subject for v in read_cohort([tmp_path / "made"]).volumes] == ["H01", "H01"]


@pytest.mark.parametrize("kind", KINDS)
def test_masks_that_cannot_be_opened_are_refused_in_one_line(
    run: Run, tmp_path: Path, image: Path, kind: str
) -> None:
    bad = tmp_path / "masks" / "x.nii.gz"
    bad.parent.mkdir()
    unusable(bad, kind)
    for option, value in (("--masks", bad.parent), ("--lesion", bad), ("--brain-mask", bad)):
        refused(run(image, option, value, "-o", tmp_path / "out"), f"x.nii.gz {KINDS[kind]}")
        assert not contents(tmp_path / "out")


@pytest.mark.parametrize("kind", ["files", "library"])
def test_masks_of_others_come_to_new_places(run: Run, tmp_path: Path, image: Path, kind: str) -> None:
    folder = tmp_path / "masks"
    if kind == "library":
        library(folder, 2)
    else:
        write(folder / "a.nii.gz", ellipse((20, 20, 10), (3, 3, 3)).astype(np.uint8), np.diag([2.0, 1, 1, 1]))
        write(folder / "black.nii.gz", np.zeros((9, 9, 9), np.uint8))
    places = []
    for seed in range(2):
        out = tmp_path / f"out{seed}"
        assert run(image, "--masks", folder, "--seed", seed, "-o", out)[0] == 0
        _, mask = read(out)
        assert (brain()[mask] > 0).all()
        places.append(np.argwhere(mask).mean(axis=0))
        origin = json.loads((out / NAMES[0]).read_text())["Transplantation"]["mask"]
        assert origin == "a.nii.gz" if kind == "files" else origin.endswith("_label-L_mask.nii.gz")
    assert np.abs(places[0] - places[1]).max() > 1


def test_refusals_are_one_line_and_leave_nothing(run: Run, tmp_path: Path, image: Path) -> None:
    out, black = tmp_path / "out", write(tmp_path / "black.nii.gz", np.zeros(SHAPE, np.uint8))
    other = write(tmp_path / "other.nii.gz", np.ones((5, 5, 5), np.uint8))
    outside = write(tmp_path / "outside.nii.gz", box(SHAPE, (0, 2), (0, 2), (0, 2)).astype(np.uint8))
    second = write(tmp_path / "sub-01_ses-2_FLAIR.nii.gz", brain(1))
    twin = write(tmp_path / "twin" / "sub-01_acq-x_FLAIR.nii.gz", brain(1))
    long = write(tmp_path / f"{'x' * 220}_FLAIR.nii.gz", brain())
    judge = saved(tmp_path / "judge", "judge")
    (tmp_path / "none").mkdir()
    faults: list[tuple[list[object], str]] = [
        ([image, "--lesion", black], "is empty, so there is no lesion to transplant"),
        ([image, "--lesion", other], "lies on another grid than the image"),
        ([image, "--lesion", outside], "has no voxel in the brain"),
        ([image, "--lesion", black, "--masks", tmp_path], "expected one of them"),
        ([image, second, "--lesion", black], "--lesion is one lesion for one image"),
        ([image, second, "--brain-mask", black], "--brain-mask is for one image"),
        ([image, twin], "are both of 01; expected one image a subject and session"),
        ([image, "--masks", tmp_path / "none"], "no images or masks found"),
        ([image, "--masks", tmp_path / "nowhere"], "no such folder"),
        ([image, "--masks", tmp_path / ("x" * 300)], "expected a folder of NIfTI masks"),
        ([image, "--masks", tmp_path / "twin"], "expected a mask"),
        ([image, "--volume", 500], "no place for a lesion of 500 ml"),
        ([image, "--volume", 0], "expected more than 0"),
        ([image, "--volume", "inf"], "expected more than 0"),
        ([image, "--volume", "nan"], "expected more than 0, at most 2000"),
        ([image, "--volume", 1e308], "expected more than 0, at most 2000"),
        ([image, "--count", 10**9], "--count is 1000000000; expected 1 to 1000"),
        ([image, "--count", 0], "--count is 0; expected 1 to 1000"),
        ([image, "--seed", 2**63], "--seed is 9223372036854775808; expected 0 to 4294967295"),
        ([image, "--seed", -1], "--seed is -1; expected 0 to 4294967295"),
        ([image, "--volume", 5, "--lesion", black], "--volume is for drawn shapes"),
        ([long], "would have a name of 263 bytes; expected at most 255, so give the image a shorter name"),
        ([long, image], "would have a name of 267 bytes; expected at most 255"),
        ([tmp_path / "absent.nii.gz"], "no such file"),
        ([image, "--weights", judge], "method judge, which has no reconstructor that takes a mask"),
    ]
    for arguments, words in faults:
        code, said, fault = run(*arguments, "-o", out)
        assert (code, said) == (2, ""), arguments
        assert words in fault
        assert len(fault.splitlines()) == 1
        assert not contents(out) if out.exists() else True


def test_the_table_of_subjects_keeps_what_it_had_and_lists_none_without_data(
    run: Run, tmp_path: Path, images: list[Path]
) -> None:
    out = tmp_path / "made"
    write(images[3], np.zeros(SHAPE, np.int16))
    code, _, fault = run(images[3], "--bids", "-o", out)
    assert (code, len(fault.splitlines())) == (2, 1)
    assert not (out / "participants.tsv").exists()
    (out / "participants.tsv").write_text("participant_id\tgroup\tnote\nsub-H01\tpatient\tmine\n")
    assert run(*images, "-o", out)[0] == 1
    assert (out / "participants.tsv").read_text() == (
        "participant_id\tgroup\tnote\tsplit\nsub-H01\tpatient\tmine\ttrain\n"
        "sub-H02\tpatient\tn/a\ttrain\nsub-H03\tpatient\tn/a\tval\n"
    )
    (out / "participants.tsv").write_text("damaged\n")
    before = contents(out)
    refused(run(*images, "-o", out), "participants.tsv: cannot be read as a table")
    assert contents(out) == before


def test_a_data_set_is_not_written_among_other_files(run: Run, tmp_path: Path, images: list[Path]) -> None:
    before = contents(tmp_path / "study")
    code, _, fault = run(*images, "-o", tmp_path / "study")
    assert code == 2
    assert "holds something else; expected an empty folder or a data set of this command" in fault
    assert contents(tmp_path / "study") == before
