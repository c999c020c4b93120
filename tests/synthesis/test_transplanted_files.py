"""Which outputs are there already, and what a killed run leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.brains import brain, write
from fixtures.cohorts import bids, participants
from fixtures.models import saved
from pseudohealthy import files
from pseudohealthy.data.out_of_distribution import FILE
from pseudohealthy.errors import InputError
from pseudohealthy.files import sha256_of
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.output_files import journal, output_stem
from pseudohealthy.synthesis.transplanted_files import LesionChoice, Output, Transplanter


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(saved(tmp_path_factory.mktemp("weights")), "cpu")


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(write(tmp_path / "sub-01_FLAIR.nii.gz", brain()), 1, tmp_path / "out", "sub-01")


def test_what_is_done_is_not_pending(model: Model, output: Output) -> None:
    work = Transplanter(model, LesionChoice())
    assert work.pending([output]) == [output]
    (made,) = work.made([output])
    assert (made.output, made.error) == (output, None)
    assert all(path.exists() for path in output.every)
    assert not output.journal.exists()
    assert work.pending([output]) == []


@pytest.mark.parametrize(
    ("choice", "word"),
    [(LesionChoice(seed=1), "another seed"), (LesionChoice(volume_ml=0.4), "another volume;")],
)
def test_what_was_made_otherwise_is_refused(
    model: Model, output: Output, choice: LesionChoice, word: str
) -> None:
    list(Transplanter(model, LesionChoice()).made([output]))
    with pytest.raises(InputError, match=word):
        Transplanter(model, choice).pending([output])


def test_files_of_others_are_refused(model: Model, output: Output) -> None:
    write(output.paths["mask"], brain())
    with pytest.raises(InputError, match=r"mask.nii.gz: exists already; nothing is replaced"):
        Transplanter(model, LesionChoice()).pending([output])


def test_what_a_killed_run_left_is_made_again(model: Model, output: Output) -> None:
    work = Transplanter(model, LesionChoice())
    list(work.made([output]))
    whole = {path: sha256_of(path) for path in output.every}
    journal = {path.name: digest for path, digest in whole.items()}
    output.journal.write_text(json.dumps(journal))
    output.every[1].unlink()
    assert work.pending([output]) == [output]
    list(work.made([output]))
    assert {path: sha256_of(path) for path in output.every} == whole
    assert not output.journal.exists()


def test_what_synthesize_has_begun_of_the_same_image_stays(model: Model, output: Output) -> None:
    half = output.folder / "sub-01_desc-pseudohealthy_FLAIR.nii.gz"
    with files.folder_beside(output.folder, output_stem(output.image.name)) as part:
        write(part / "whole.nii", brain())
        files.write_text(half, "moved")
        theirs = journal(output.folder, output.image.name)
        files.write_json(theirs, {half.name: sha256_of(half)})
        list(Transplanter(model, LesionChoice()).made([output]))
        assert (part / "whole.nii").exists()
        assert half.exists()
        assert theirs.exists()


def test_the_brightness_of_the_tissue_stays_in_its_range_however_much_the_training_data_s_varies(
    tmp_path: Path, output: Output
) -> None:
    weights = saved(tmp_path / "weights")
    values = json.loads((bundled_weights() / FILE).read_text())
    values["figures"]["level"] = {"median": 0.4, "deviation": 900.0}
    (weights / FILE).write_text(json.dumps(values))
    work = Transplanter(Model.load(weights, "cpu"), LesionChoice())
    every = [Output(output.image, number, tmp_path / str(number), "sub-01") for number in range(1, 9)]
    levels = [made.report["tissue_level"] for made in work.made(every) if made.report]
    assert len(levels) == 8
    assert 0.2 <= min(levels) < 0.4 < max(levels) <= 1


def test_of_a_data_set_with_a_split_training_patients_masks_are_drawn(tmp_path: Path) -> None:
    study = bids(tmp_path / "study", 3)
    assert [path.name[:6] for path in LesionChoice(masks=study).mask_library] == [
        "sub-01",
        "sub-02",
        "sub-03",
    ]
    participants(study, "participant_id\tsplit", "sub-01\ttest", "sub-02\ttrain", "sub-03\tval")
    assert [path.name[:6] for path in LesionChoice(masks=study).mask_library] == ["sub-02"]
    participants(study, "participant_id\tsplit", "sub-01\ttest", "sub-02\tval", "sub-03\tval")
    with pytest.raises(InputError, match="no lesion mask of a training patient"):
        _ = LesionChoice(masks=study).mask_library
