"""What stands beside the images."""

from __future__ import annotations

from pathlib import Path

import pytest

from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.synthesis.sidecars import DESCRIPTIONS, beside, sidecar

SOURCES = {
    "image": "bids:raw:a.nii.gz",
    "brain_mask": "bids:raw:b.nii.gz",
    "lesion_mask": "bids:raw:c.nii.gz",
}


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


def test_only_what_was_used_is_a_source() -> None:
    assert sidecar("blended", {"image": "a.nii"}, stripped=True)["Sources"] == ["a.nii"]


def test_a_sidecar_has_its_images_name() -> None:
    assert beside(Path("out/my.scan_FLAIR.nii.gz")) == Path("out/my.scan_FLAIR.json")
    assert beside(Path("scan.nii")) == Path("scan.json")
