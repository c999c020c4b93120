"""A subject's images done, skipped, refused or failed; nothing that one does stops another."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from fixtures.brains import brain, write
from fixtures.cohorts import STUDY_SLICES, image, study
from fixtures.full_disk import full_disk
from fixtures.models import calibrated, saved
from pseudohealthy.bids_app import participant
from pseudohealthy.bids_app.executors import run_serial
from pseudohealthy.bids_app.job import Job
from pseudohealthy.bids_app.output_dataset import describe
from pseudohealthy.bids_app.participant import process_subject
from pseudohealthy.bids_app.records import failure_records, read_record
from pseudohealthy.bids_app.selection import Subject, select
from pseudohealthy.errors import InputError, printable
from pseudohealthy.partial_files import part_in
from pseudohealthy.synthesis.result import Synthesis

ONE = "sub-01/anat/sub-01_FLAIR.nii.gz"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def job(tmp_path: Path, weights: Path) -> Job:
    """One subject with one image, and a folder for what is made of it."""
    raw, out = study(tmp_path / "raw", 1), tmp_path / "out"
    describe(raw, out)
    return Job(raw, out, weights, device="cpu").checked()


def only(job: Job) -> Subject:
    (subject,) = select(job.bids)
    return subject


def times(job: Job) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (job.out / "sub-01").rglob("*") if path.is_file()}


def test_a_finished_image_is_skipped_until_it_or_the_weights_change(job: Job, tmp_path: Path) -> None:
    (done,) = process_subject(only(job), job)
    assert (done.status, done.reason, done.image) == ("done", "", ONE)
    assert read_record(job.out, ONE) == done
    assert done.files["healthy"] == "sub-01/anat/sub-01_desc-pseudohealthy_FLAIR.nii.gz"
    assert done.is_complete(job.out)
    before = times(job)
    assert process_subject(only(job), job) == [done.model_copy(update={"status": "skipped"})]
    assert times(job) == before

    other = Job(job.bids, job.out, saved(tmp_path / "w", copying=True), device="cpu").checked()
    image(job.bids, ONE, 7)
    (refused,) = process_subject(only(job), other)
    assert refused.status == "failed"
    assert refused.reason.startswith(
        f"{ONE}: finished, but with another input, other weights; give --overwrite"
    )
    assert times(job) == before
    assert read_record(job.out, ONE) == done

    (again,) = process_subject(only(job), replace(other, overwrite=True))
    assert again.status == "done"
    assert again.made_from is not None
    assert again.made_from.weights == other.sha256
    assert set(times(job)) == set(before)
    assert all(times(job)[path] > before[path] for path in before)


def test_other_products_are_another_thing(job: Job) -> None:
    both = replace(job, blend=True)
    (done,) = process_subject(only(job), both)
    assert {"blended", "blended_sidecar"} <= set(done.files)
    assert done.is_complete(job.out)
    (refused,) = process_subject(only(job), job)
    assert "finished, but with --blend; give --overwrite" in refused.reason
    (without,) = process_subject(only(job), replace(job, overwrite=True))
    assert set(done.files) - set(without.files) == {"blended", "blended_sidecar"}
    assert not list(job.out.glob("sub-01/anat/*blend*"))


def test_an_uncertainty_is_another_product_that_needs_calibrated_weights(job: Job, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="these weights are not calibrated"):
        replace(job, uncertainty=True).checked()
    ready = replace(job, uncertainty=True, weights=calibrated(saved(tmp_path / "calibrated"))).checked()
    (done,) = process_subject(only(ready), ready)
    assert {"uncertainty", "uncertainty_sidecar"} <= set(done.files)
    assert done.is_complete(ready.out)
    report = json.loads((ready.out / done.files["report"]).read_text())
    assert report["uncertainty"]["runs"] == 3
    (refused,) = process_subject(only(ready), replace(ready, uncertainty=False))
    assert "finished, but with --uncertainty; give --overwrite" in refused.reason
    (without,) = process_subject(only(ready), replace(ready, uncertainty=False, overwrite=True))
    assert set(done.files) - set(without.files) == {"uncertainty", "uncertainty_sidecar"}
    assert not list(ready.out.glob("sub-01/anat/*uncertainty*"))


def test_texts_of_the_header_are_kept_on_request_and_never_unnoticed(job: Job) -> None:
    process_subject(only(job), job)
    (refused,) = process_subject(only(job), replace(job, keep_header_text=True))
    assert "finished, but with no --keep-header-text; give --overwrite" in refused.reason
    shutil.rmtree(job.out / "logs")
    image = nibabel.load(job.bids / ONE)
    image.header["descrip"] = b"JANE DOE"
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), image.affine, image.header), job.bids / ONE)
    (done,) = process_subject(only(job), replace(job, keep_header_text=True))
    assert nibabel.load(job.out / done.files["mask"]).header["descrip"].item() == b"JANE DOE"


def test_what_a_killed_run_left_is_done_again(job: Job) -> None:
    (done,) = process_subject(only(job), job)
    folder = job.out / "sub-01/anat"
    (job.out / done.files["mask"]).unlink()
    left, elses = (part_in(folder, stem) for stem in ("sub-01", "sub-01_T1w"))
    for part in (left, elses):
        part.mkdir()
        (part / "half.nii.gz").touch()
    (again,) = process_subject(only(job), job)
    assert again.status == "done"
    assert again.is_complete(job.out)
    assert not left.exists()
    assert (elses / "half.nii.gz").exists()  # another program may be at work on it
    shutil.rmtree(job.out / "logs")
    assert process_subject(only(job), job)[0].status == "done"


def test_a_failure_is_recorded_and_tried_again(job: Job) -> None:
    sound = (job.bids / ONE).read_bytes()
    (job.bids / ONE).write_bytes(sound[:-2000])
    (failed,) = process_subject(only(job), job)
    assert failed.status == "failed"
    assert "truncated gzip" in failed.reason
    assert failed.trace == ""
    assert read_record(job.out, ONE) == failed
    (job.bids / ONE).write_bytes(sound)
    assert process_subject(only(job), job)[0].status == "done"


def test_one_bad_image_of_a_subject_leaves_the_others(job: Job) -> None:
    anat = job.bids / "sub-01/anat"
    write(anat / "sub-01_run-1_FLAIR.nii.gz", np.stack([brain()] * 2, axis=3))
    write(anat / "sub-01_run-2_FLAIR.nii", brain(3)[:, :, STUDY_SLICES])
    (anat / "sub-01_run-3_FLAIR.nii.gz").symlink_to("nowhere")
    write(anat / "sub-02_FLAIR.nii.gz", brain())
    write(anat / "sub-01_run-4_FLAIR.nii.gz", brain())
    write(anat / "sub-01_run-4_FLAIR.nii", brain())
    reasons = {
        Path(record.name).name: (record.status, record.reason) for record in process_subject(only(job), job)
    }
    assert reasons["sub-01_FLAIR.nii.gz"] == reasons["sub-01_run-2_FLAIR.nii"] == ("done", "")
    assert "expected one 3-D volume" in reasons["sub-01_run-1_FLAIR.nii.gz"][1]
    assert "a link to nothing" in reasons["sub-01_run-3_FLAIR.nii.gz"][1]
    assert "its name is not one of sub-01's" in reasons["sub-02_FLAIR.nii.gz"][1]
    assert "would give files of one name" in reasons["sub-01_run-4_FLAIR.nii.gz"][1]
    assert "would give files of one name" in reasons["sub-01_run-4_FLAIR.nii"][1]


def test_a_subject_without_an_image_is_recorded_until_it_has_one(job: Job) -> None:
    (recorded,) = process_subject(Subject("sub-01", ()), job)
    assert recorded.status == "no_image"
    assert recorded.reason == "no FLAIR image; expected sub-01/[ses-*/]anat/sub-01_*FLAIR.nii.gz"
    assert read_record(job.out, "sub-01") == recorded
    process_subject(only(job), job)
    assert read_record(job.out, "sub-01") is None


NAMESAKES = ("sub-01/anat/sub-01_FLAIR.nii.gz", "sub-01/ses-1/anat/sub-01_FLAIR.nii.gz")


def test_images_of_one_name_are_processed_each_for_itself(job: Job) -> None:
    image(job.bids, NAMESAKES[1], 2)
    both = replace(job, blend=True)
    first = process_subject(only(job), both)
    assert [(record.image, record.status) for record in first] == [(name, "done") for name in NAMESAKES]
    assert [read_record(job.out, name) for name in NAMESAKES] == first
    inputs = [record.made_from.input for record in first if record.made_from]
    assert len(set(inputs)) == len(first)
    reports = [json.loads(record.paths(job.out)["report"].read_text()) for record in first]
    assert [report["input"] for report in reports] == list(NAMESAKES)
    assert [record.status for record in process_subject(only(job), both)] == ["skipped", "skipped"]
    second = process_subject(only(job), replace(job, overwrite=True))
    assert [record.status for record in second] == ["done", "done"]
    assert all(record.is_complete(job.out) for record in second)


def test_one_record_for_images_of_one_name_is_the_one_s_that_it_names(job: Job) -> None:
    """Earlier versions wrote one record for both: the other's outputs, if any, belong to nobody."""
    (done,) = process_subject(only(job), job)
    shutil.rmtree(job.out / "logs")
    (job.out / "logs").mkdir()
    (job.out / "logs/sub-01_FLAIR.json").write_text(done.model_dump_json())
    image(job.bids, NAMESAKES[1], 2)
    before = times(job)
    skipped, made = process_subject(only(job), job)
    assert (skipped.image, skipped.status) == (NAMESAKES[0], "skipped")
    assert (made.image, made.status) == (NAMESAKES[1], "done")
    assert {path: at for path, at in times(job).items() if path in before} == before


def test_an_image_that_took_another_s_place_replaces_it_only_on_request(job: Job) -> None:
    process_subject(only(job), replace(job, blend=True))
    plain = ONE.removesuffix(".gz")
    (job.bids / ONE).unlink()
    image(job.bids, plain, 2)
    before = times(job)
    (refused,) = process_subject(only(job), job)
    assert refused.status == "failed"
    assert f"{ONE}, which is no longer in the data set, was finished under the same names" in refused.reason
    assert times(job) == before
    (done,) = process_subject(only(job), replace(job, overwrite=True))
    assert (done.image, done.status) == (plain, "done")
    assert read_record(job.out, ONE) is None
    assert not list(job.out.glob("sub-01/anat/*blend*"))


def test_inputs_whose_outputs_would_have_one_name_are_refused(job: Job) -> None:
    names = [ONE.replace("_FLAIR", f"_desc-{desc}_FLAIR") for desc in "ab"]
    for name in names:
        image(job.bids, name, 2)
    (job.bids / ONE).unlink()
    for record in process_subject(only(job), job):
        assert f"{names[0]} and {names[1]} would give files of one name" in record.reason
    (job.bids / names[1]).unlink()
    (done,) = process_subject(only(job), job)
    assert done.files["healthy"] == "sub-01/anat/sub-01_desc-pseudohealthy_FLAIR.nii.gz"


@pytest.mark.parametrize("path", ["/elsewhere.nii.gz", "../elsewhere.nii.gz", "sub-02/anat/sub-02.nii.gz"])
def test_no_record_makes_a_run_remove_what_is_not_the_image_s(job: Job, path: str, tmp_path: Path) -> None:
    (done,) = process_subject(only(job), job)
    mine = job.out / (f"{tmp_path}{path}" if path.startswith("/") else path)
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    log = job.out / f"logs/{ONE}.json"
    for old in (False, True):
        facts = json.loads(log.read_text())
        facts["files"]["blended"] = str(mine) if path.startswith("/") else path
        where = job.out / "logs/sub-01_FLAIR.json" if old else log
        log.unlink()
        where.write_text(json.dumps(facts))
        (again,) = process_subject(only(job), replace(job, overwrite=True))
        assert again.files == done.files
        assert mine.read_text() == "mine"


def test_what_is_finished_stays_so_when_it_cannot_be_tried_again(job: Job) -> None:
    (done,) = process_subject(only(job), job)
    (job.bids / ONE).unlink()
    (job.bids / ONE).symlink_to("nowhere")
    (failed,) = process_subject(only(job), job)
    assert "a link to nothing" in failed.reason
    assert read_record(job.out, ONE) == done
    (failed,) = process_subject(only(job), replace(job, overwrite=True))
    assert read_record(job.out, ONE) == failed


def test_a_run_killed_among_its_files_leaves_no_record_that_it_is_done(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_subject(only(job), job)

    def killed(*_: object, **__: object) -> None:
        assert read_record(job.out, ONE) is None
        raise KeyboardInterrupt

    monkeypatch.setattr(Synthesis, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        process_subject(only(job), replace(job, overwrite=True))
    assert read_record(job.out, ONE) is None


def test_a_second_run_waits_for_the_first_and_finds_it_done(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Begun while the first one writes, which its part of a folder shows."""
    writing, outcome = threading.Event(), threading.Event()
    save = Synthesis.save

    def slow(self: Synthesis, folder: Path, *arguments: Any, **options: Any) -> dict[str, Path]:
        (folder / ".part-of-mine").mkdir(parents=True)
        writing.set()
        assert outcome.wait(60)
        assert (folder / ".part-of-mine").is_dir()
        (folder / ".part-of-mine").rmdir()
        return save(self, folder, *arguments, **options)

    monkeypatch.setattr(Synthesis, "save", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(process_subject, only(job), job)
        assert writing.wait(60)
        second = pool.submit(process_subject, only(job), job)
        while "sub-01: another run (" not in (line := capsys.readouterr().err):
            assert not second.done()
            time.sleep(0.01)
        outcome.set()
        assert line.endswith("is at work on it; waiting\n")
        assert [each.result()[0].status for each in (first, second)] == ["done", "skipped"]
    assert sorted(path.name for path in (job.out / "logs").iterdir()) == ["sub-01"]


def test_names_that_are_not_text_are_refused_and_others_are_processed(job: Job) -> None:
    names = {
        "done": ONE.replace("_FLAIR", "_acq-é_FLAIR"),
        r"acq-\xea_FLAIR": ONE.replace("_FLAIR", "_acq-\udcea_FLAIR"),
        r"acq-\n\x1b[31m_FLAIR": ONE.replace("_FLAIR", "_acq-\n\x1b[31m_FLAIR"),
        "a name of 290 bytes": ONE.replace("_FLAIR", f"_acq-{'a' * 221}_FLAIR"),
    }
    for number, name in enumerate(names.values(), 2):
        image(job.bids, name, number)
    found = {record.image: record for record in process_subject(only(job), job)}
    assert len(found) == len(names) + 1
    for said, name in names.items():
        record = found[printable(name)]
        assert read_record(job.out, name) == record
        assert said in (record.status, *([said] if said in record.reason else []))
    assert found[names["done"]].is_complete(job.out)


def test_an_unforeseen_failure_is_recorded_with_its_trace(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of its own")

    monkeypatch.setattr(participant, "synthesize", broken)
    (failed,) = process_subject(only(job), job)
    assert failed.reason == "ZeroDivisionError: of its own"
    assert "in broken" in failed.trace
    assert read_record(job.out, ONE) == failed


def test_a_full_disk_fails_the_image_and_leaves_no_half_of_it(job: Job) -> None:
    with full_disk(2000):
        (failed,) = process_subject(only(job), job)
    assert failed.status == "failed"
    assert "cannot be written" in failed.reason
    assert times(job) == {}


def test_a_machine_that_does_not_see_the_folders_says_so_and_makes_none(job: Job, tmp_path: Path) -> None:
    for elsewhere in (replace(job, bids=tmp_path / "x"), replace(job, out=tmp_path / "y")):
        (failed,) = process_subject(only(job), elsewhere)
        assert f"{os.uname().nodename}: no {tmp_path}/" in failed.reason
        assert "every machine" in failed.reason
    assert not (tmp_path / "y").exists()


def test_other_weights_on_another_machine_are_refused(job: Job) -> None:
    (failed,) = process_subject(only(job), replace(job, sha256="0" * 64))
    assert "other weights on" in failed.reason


def test_a_lost_machine_is_a_failure_of_each_image(job: Job) -> None:
    subject = Subject("sub-01", (ONE, ONE.replace("_FLAIR", "_run-2_FLAIR")))
    lost = failure_records(subject, RuntimeError("worker died"), job)
    assert [record.image for record in lost] == list(subject.images)
    assert {record.reason for record in lost} == {"RuntimeError: worker died"}


def test_weights_and_device_are_tried_before_anybody(job: Job, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    shutil.copy(weights / "config.json", tmp_path / "w")
    (tmp_path / "w/model.safetensors").write_bytes(b"no weights")
    damaged = Job(job.bids, job.out, tmp_path / "w", device="cpu").checked()
    with pytest.raises(InputError):
        next(run_serial([only(job)], damaged))
    with pytest.raises(InputError, match="not a weights folder"):
        Job(job.bids, job.out, tmp_path, device="cpu").checked()
    assert not (job.out / "logs").exists()


def test_outputs_name_their_source_as_bids_does(job: Job) -> None:
    (done,) = process_subject(only(job), job)
    sidecar = (job.out / done.files["healthy"]).with_suffix("").with_suffix(".json")
    assert json.loads(sidecar.read_text())["Sources"] == [f"bids:raw:{ONE}"]
    assert done.files["healthy_sidecar"] == sidecar.relative_to(job.out).as_posix()


MASK = "sub-01/anat/sub-01_desc-brain_mask.nii.gz"


def with_masks(job: Job, folder: Path) -> Job:
    return replace(job, brain_masks=folder)


def test_a_brain_mask_of_ones_own_decides_what_may_change(job: Job, tmp_path: Path) -> None:
    left = np.zeros(brain().shape, np.uint8)
    left[: len(left) // 2] = 1
    mask = write(tmp_path / "masks" / MASK, left[:, :, STUDY_SLICES])
    (done,) = process_subject(only(job), with_masks(job, tmp_path / "masks"))
    assert (done.status, done.reason) == ("done", "")
    paths = (job.out / done.files["healthy"], job.bids / ONE)
    healthy, given = (np.asarray(nibabel.load(path).dataobj) for path in paths)
    outside = left[:, :, STUDY_SLICES] == 0
    assert np.array_equal(healthy[outside], given[outside])
    assert not np.array_equal(healthy[~outside], given[~outside])
    sidecar = (job.out / done.files["healthy"]).with_suffix("").with_suffix(".json")
    assert json.loads(sidecar.read_text())["Sources"] == [f"bids:raw:{ONE}", mask.name]

    (without,) = process_subject(only(job), job)
    assert without.status == "failed"
    assert "finished, but with a brain mask" in without.reason
    write(mask, left[:, :, STUDY_SLICES] * np.uint8(2))
    (other,) = process_subject(only(job), with_masks(job, tmp_path / "masks"))
    assert "finished, but with another brain mask" in other.reason


def test_a_lesion_mask_of_ones_own_decides_what_the_blend_may_change(job: Job, tmp_path: Path) -> None:
    lesion = np.zeros(brain().shape, np.uint8)[:, :, STUDY_SLICES]
    lesion[20:26, 30:36] = 1
    mask = write(tmp_path / "masks" / MASK.replace("desc-brain", "label-lesion"), lesion)
    requested = replace(job, blend=True, lesion_masks=tmp_path / "masks")
    (done,) = process_subject(only(job), requested)
    assert (done.status, done.reason) == ("done", "")
    blend, given = (
        np.asarray(nibabel.load(p).dataobj) for p in (job.out / done.files["blended"], job.bids / ONE)
    )
    far = distance_transform_edt(lesion == 0) > 8
    assert np.array_equal(blend[far], given[far])
    assert not np.array_equal(blend[lesion > 0], given[lesion > 0])
    sidecar = (job.out / done.files["blended"]).with_suffix("").with_suffix(".json")
    assert json.loads(sidecar.read_text())["Sources"] == [f"bids:raw:{ONE}", mask.name]

    (without,) = process_subject(only(job), replace(job, blend=True))
    assert "finished, but with a lesion mask" in without.reason
    mask.unlink()
    (missing,) = process_subject(only(job), requested)
    assert "no lesion mask in" in missing.reason
    assert "expected one sub-01_label-lesion_mask.nii.gz, empty where" in missing.reason
    with pytest.raises(InputError, match=r"--lesion-masks without the blend"):
        Job(
            job.bids,
            job.out,
            job.weights,
            device="cpu",
            lesion_masks=tmp_path / "masks",
        ).checked()


def test_no_brain_mask_or_two_fail_the_image(job: Job, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    (missing,) = process_subject(only(job), with_masks(job, masks))
    assert f"no brain mask in {masks / 'sub-01/anat'}; expected one sub-01_desc" in missing.reason
    ones = np.ones(brain().shape, np.uint8)[:, :, STUDY_SLICES]
    write(masks / MASK, ones)
    write(masks / MASK.replace("_desc", "_FLAIR_desc"), ones)
    (twice,) = process_subject(only(job), with_masks(job, masks))
    assert "sub-01_desc-brain_mask.nii.gz, sub-01_FLAIR_desc-brain_mask.nii.gz in" in twice.reason
    absent = masks / "x"
    with pytest.raises(InputError, match=r"--brain-masks .*: no such folder"):
        Job(job.bids, job.out, job.weights, device="cpu", brain_masks=absent).checked()
