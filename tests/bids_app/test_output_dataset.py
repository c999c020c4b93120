"""Where derivatives may lie, and what describes them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fixtures.cohorts import touch
from fixtures.full_disk import full_disk
from pseudohealthy import __version__
from pseudohealthy.bids_app.output_dataset import check_place, describe, uri
from pseudohealthy.errors import InputError, PseudohealthyError


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    study = touch(tmp_path / "study", "sub-1/anat/sub-1_FLAIR.nii.gz")
    facts = {"Name": "Study", "BIDSVersion": "1.8.0", "DatasetDOI": "doi:10.0/1"}
    (study / "dataset_description.json").write_text(json.dumps(facts))
    return study


def described(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "dataset_description.json").read_text())
    return content


@pytest.mark.parametrize("inside", ["", "sub-1", "code", "derivatives", "sub-1/derivatives/mine"])
def test_inside_the_data_set_only_a_folder_of_derivatives_will_do(raw: Path, inside: str) -> None:
    with pytest.raises(InputError, match="lies inside the data set, which is never written to"):
        check_place(raw, raw / inside)


def test_places_that_will_do(raw: Path, tmp_path: Path) -> None:
    for out in (
        raw / "derivatives/mine",
        raw / "derivatives/group/mine",
        tmp_path / "out",
        tmp_path / "study2",
    ):
        check_place(raw, out)
        assert not out.exists()


def test_no_way_around_leads_into_the_data_set(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(raw / "sub-1")
    for out in (tmp_path / "link/out", raw / "derivatives/../sub-1/out", tmp_path / "other/../study/out"):
        with pytest.raises(InputError, match="never written to"):
            check_place(raw, out)
    monkeypatch.chdir(raw)
    with pytest.raises(InputError, match="never written to"):
        check_place(raw, Path("out"))


def test_a_file_in_its_place_is_told(raw: Path, tmp_path: Path) -> None:
    touch(tmp_path, "file")
    for out in (tmp_path / "file", tmp_path / "file/out"):
        with pytest.raises(InputError, match="file is a file; expected a folder"):
            check_place(raw, out)


@pytest.mark.parametrize("name", ["README.md", "descriptions.tsv", ".bidsignore", "sub-1/anat/image"])
def test_a_folder_in_which_something_would_be_replaced_is_refused(
    raw: Path, tmp_path: Path, name: str
) -> None:
    touch(tmp_path / "out", "notes.txt", ".hidden")
    check_place(raw, tmp_path / "out")
    touch(tmp_path / "out", name)
    held = re.escape(Path(name).parts[0])
    with pytest.raises(InputError, match=f"holds {held} but no dataset_description"):
        check_place(raw, tmp_path / "out")


def test_what_somebody_else_made_is_left_alone(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for makers, said in (([{"Name": "fMRIPrep"}], "a data set of fMRIPrep"), (None, "of unknown origin")):
        (out / "dataset_description.json").write_text(json.dumps({"GeneratedBy": makers}))
        with pytest.raises(InputError, match=said):
            check_place(raw, out)
    (out / "dataset_description.json").write_text("not JSON")
    with pytest.raises(InputError, match="unknown origin"):
        check_place(raw, out)
    links = {"GeneratedBy": [{"Name": "pseudohealthy"}], "DatasetLinks": 5}
    (out / "dataset_description.json").write_text(json.dumps(links))
    with pytest.raises(InputError, match="was made of the data set None"):
        check_place(raw, out)


def test_outputs_of_two_data_sets_do_not_mix(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    describe(raw, out)
    check_place(raw, out)
    with pytest.raises(InputError, match=r"was made of the data set \.\./study, not of \.\./other"):
        check_place(touch(tmp_path / "other", "sub-1/x"), out)


@pytest.mark.parametrize(("place", "link"), [("study/derivatives/mine", "../.."), ("out", "../study")])
def test_the_description_names_its_data_set_wherever_it_lies(
    raw: Path, tmp_path: Path, place: str, link: str
) -> None:
    out = tmp_path / place
    describe(raw, out)
    facts = described(out)
    assert facts["DatasetType"] == "derivative"
    assert facts["DatasetLinks"] == {"raw": link}
    assert (out / link).resolve() == raw
    assert facts["SourceDatasets"] == [{"URL": link, "DOI": "doi:10.0/1"}]
    (maker,) = facts["GeneratedBy"]
    assert (maker["Name"], maker["Version"]) == ("pseudohealthy", __version__)
    assert facts["Name"] == "Images as if healthy of Study"
    assert uri("sub-1/anat/sub-1_FLAIR.nii.gz") == "bids:raw:sub-1/anat/sub-1_FLAIR.nii.gz"


def test_a_data_set_that_tells_nothing_of_itself_will_do(tmp_path: Path) -> None:
    raw = touch(tmp_path / "bare", "sub-1/x")
    describe(raw, tmp_path / "out")
    assert described(tmp_path / "out")["Name"] == "Images as if healthy of bare"
    assert described(tmp_path / "out")["SourceDatasets"] == [{"URL": "../bare"}]


def test_describing_again_changes_nothing(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    describe(raw, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(before) == {"dataset_description.json", "descriptions.tsv", "README.md", ".bidsignore"}
    describe(raw, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_full_disk_is_told(raw: Path, tmp_path: Path) -> None:
    with full_disk(10), pytest.raises(PseudohealthyError, match="cannot be written"):
        describe(raw, tmp_path / "out")


@pytest.mark.parametrize("links", [[], "raw", None, {"raw": 3}])
def test_links_that_are_none_are_of_another_data_set(raw: Path, tmp_path: Path, links: object) -> None:
    out = tmp_path / "out"
    facts = {"GeneratedBy": [{"Name": "pseudohealthy"}], "DatasetLinks": links}
    (touch(out, "x") / "dataset_description.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="was made of the data set"):
        check_place(raw, out)
