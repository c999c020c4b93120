"""How the files that are made of an image are called, what their sidecars say, when they may be written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fixtures.cohorts import touch
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.synthesis.output_files import (
    DESCRIPTIONS,
    not_made_again,
    output_files,
    refuse_another_s,
    refuse_existing,
    sidecar,
    sidecar_path,
    with_sidecars,
)

SOURCES = {
    "image": "bids:raw:a.nii.gz",
    "brain_mask": "bids:raw:b.nii.gz",
    "lesion_mask": "bids:raw:c.nii.gz",
}


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("sub-01_ses-1_FLAIR.nii.gz", "sub-01_ses-1"),
        ("sub-01_FLAIR.nii", "sub-01"),
        ("scan.nii", "scan"),
        ("my.brain.nii.gz", "my.brain"),
        ("stack", "stack"),
        ("sub-01_desc-preproc_FLAIR.nii.gz", "sub-01"),
        ("sub-01_desc-preproc_run-2_FLAIR.nii.gz", "sub-01_run-2"),
        ("desc-preproc_FLAIR.nii.gz", "desc-preproc"),
        ("descending_FLAIR.nii.gz", "descending"),
    ],
)
def test_files_are_named_as_bids_derivatives(name: str, stem: str) -> None:
    files = {kind: path.as_posix() for kind, path in output_files(Path("out"), name).items()}
    assert files == {
        "healthy": f"out/{stem}_desc-pseudohealthy_FLAIR.nii.gz",
        "difference": f"out/{stem}_desc-difference_FLAIR.nii.gz",
        "probability": f"out/{stem}_space-orig_label-lesion_desc-pseudohealthy_probseg.nii.gz",
        "mask": f"out/{stem}_space-orig_label-lesion_desc-pseudohealthy_mask.nii.gz",
        "panel": f"out/{stem}_desc-pseudohealthy_panel.png",
        "report": f"out/{stem}_desc-pseudohealthy_report.json",
        "page": f"out/{stem}_desc-pseudohealthy_report.html",
    }
    more = set(output_files(Path("out"), name, blend=True, uncertainty=True).values()) - set(
        output_files(Path("out"), name).values()
    )
    assert more == {Path(f"out/{stem}_desc-{which}_FLAIR.nii.gz") for which in ("blend", "uncertainty")}


@pytest.mark.parametrize("name", ["sub-01_space-T1w_desc-a_FLAIR.nii.gz", "sub-01_space-MNI_res-2_FLAIR.nii"])
def test_no_entity_is_there_twice(name: str) -> None:
    for path in output_files(Path(), name, blend=True, uncertainty=True).values():
        entities = [part.partition("-")[0] for part in path.name.split("_")[:-1]]
        assert sorted(entities) == sorted(set(entities)), path.name
    assert "_space-orig" not in output_files(Path(), name)["mask"].name


def test_a_sidecar_for_every_volume() -> None:
    files = output_files(Path("out"), "scan.nii", blend=True, uncertainty=True)
    assert set(with_sidecars(files)) - set(files) == {f"{kind}_sidecar" for kind in DESCRIPTIONS}


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_every_image_has_what_bids_asks_for(kind: str) -> None:
    facts = sidecar(kind, SOURCES, stripped=True)
    made_of = ["image", "brain_mask", "lesion_mask"] if kind == "blended" else ["image", "brain_mask"]
    assert facts["Sources"] == [SOURCES[name] for name in made_of]
    assert facts["Description"].endswith(RESEARCH_USE)
    if kind in ("mask", "probability"):
        assert (facts["Type"], facts["SpatialReference"]) == ("Lesion", SOURCES["image"])
        assert "SkullStripped" not in facts
    else:
        assert facts["SkullStripped"] is True
        assert sidecar(kind, SOURCES, stripped=False)["SkullStripped"] is False


def test_the_sidecar_of_the_uncertainty_says_how_to_get_95_percent() -> None:
    ratios = {"lesion": 2.0, "near": 3.0, "elsewhere": 4.0}
    facts = sidecar("uncertainty", SOURCES, ratios, stripped=True)
    assert (facts["IntervalLevel"], facts["RatioTo95"]) == (0.68, ratios)
    assert all(f"{zone}:" in facts["Zones"] for zone in ratios)
    assert "RatioTo95" not in sidecar("healthy", SOURCES, ratios, stripped=True)


def test_only_what_was_used_is_a_source() -> None:
    assert sidecar("blended", {"image": "a.nii"}, stripped=True)["Sources"] == ["a.nii"]


def test_a_sidecar_has_its_images_name() -> None:
    assert sidecar_path(Path("out/my.scan_FLAIR.nii.gz")) == Path("out/my.scan_FLAIR.json")
    assert sidecar_path(Path("scan.nii")) == Path("scan.json")


def test_what_a_run_without_a_blend_would_leave(tmp_path: Path) -> None:
    blend = output_files(tmp_path, "a_FLAIR.nii", blend=True)["blended"]
    touch(tmp_path, blend.name, sidecar_path(blend).name, "a_b_desc-blend_FLAIR.nii.gz")
    assert not_made_again(tmp_path, "a_FLAIR.nii.gz", blend=False) == [blend, sidecar_path(blend)]
    assert not_made_again(tmp_path, "a_FLAIR.nii.gz", blend=True) == []
    assert not_made_again(tmp_path, "c_FLAIR.nii.gz", blend=False) == []
    uncertainty = output_files(tmp_path, "c_FLAIR.nii", uncertainty=True)["uncertainty"]
    touch(tmp_path, uncertainty.name)
    assert not_made_again(tmp_path, "c_FLAIR.nii.gz", blend=True) == [uncertainty]
    assert not_made_again(tmp_path, "c_FLAIR.nii.gz", blend=True, uncertainty=True) == []


def test_files_that_are_there_are_refused_with_and_without_blend(tmp_path: Path) -> None:
    refuse_existing(tmp_path, "a.nii", overwrite=False)
    touch(tmp_path, "a_desc-blend_FLAIR.json")
    with pytest.raises(InputError, match=r"a_desc-blend_FLAIR.json: exists already; .* --overwrite"):
        refuse_existing(tmp_path, "a_FLAIR.nii.gz", overwrite=False)
    refuse_existing(tmp_path, "a.nii", overwrite=True)
    refuse_existing(tmp_path, "b.nii", overwrite=False)


def test_an_input_is_never_replaced_by_what_is_made_of_it(tmp_path: Path) -> None:
    names = (path.name for path in output_files(tmp_path, "a.nii", blend=True).values())
    for name in names:
        source = touch(tmp_path, name) / name
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(source)
        for given in (source, tmp_path / "link"):
            with pytest.raises(InputError, match=f"{given.name}: would be replaced by what is made of it"):
                refuse_existing(tmp_path, "a.nii", overwrite=True, inputs=(None, given))
    refuse_existing(tmp_path, "a.nii", overwrite=True, inputs=(tmp_path / "none.nii",))


@pytest.mark.parametrize("before", ["a_desc-b_FLAIR.nii.gz", "sub-01/anat/a_desc-b_FLAIR.nii", "array"])
def test_what_another_input_gave_is_not_replaced(tmp_path: Path, before: str) -> None:
    refuse_another_s(tmp_path, "a_desc-c_FLAIR.nii")
    report = output_files(tmp_path, "a_FLAIR.nii")["report"]
    report.write_text(json.dumps({"input": before}))
    refuse_another_s(tmp_path, "a_desc-b_FLAIR.nii")
    for name in ("a_desc-c_FLAIR.nii.gz", "a.nii.gz") if before != "array" else ():
        with pytest.raises(InputError, match=f"was made of {before}, and the same name .* {name}; choose"):
            refuse_another_s(tmp_path, name)
    for content in ("{}", "[1]", "no JSON"):
        report.write_text(content)
        refuse_another_s(tmp_path, "a_desc-c_FLAIR.nii.gz")


def test_a_name_too_long_is_refused_in_bytes(tmp_path: Path) -> None:
    longest = "_space-orig_label-lesion_desc-pseudohealthy_probseg.nii.gz"
    for letter in ("a", "é", "\udcea"):
        fitting = letter * ((255 - len(longest)) // len(os.fsencode(letter)))
        refuse_existing(tmp_path, f"{fitting}_FLAIR.nii", overwrite=False)
        touch(tmp_path, output_files(tmp_path, f"{fitting}.nii")["probability"].name)
        with pytest.raises(InputError, match=r"a name of \d+ bytes; expected at most 255"):
            refuse_existing(tmp_path, f"{fitting}{letter}.nii", overwrite=True)
