"""A subject's page: one file with all in it, and volumes as they were."""

from __future__ import annotations

import base64
import gzip
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from fixtures.page_visits import SHAPE, affine, arrays, stored, toy_page
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.report.viewer import subject_page
from pseudohealthy.report.viewer.subject_page import KINDS, Kind, Volumes, _middle, viewer_html


class Parsed(HTMLParser):
    """Texts of elements with an id, every attribute, and every element's text by its name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self.everything: dict[str, str] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "img", "input", "br"):
            self._open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, name = self._open[-1]
            self.everything[tag] = self.everything.get(tag, "") + data
            if name:
                self.texts[name] = self.texts.get(name, "") + data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_page(tmp_path_factory.mktemp("viewer"))


@pytest.fixture(scope="module")
def parsed(page: Path) -> Parsed:
    return Parsed(page.read_text(encoding="utf-8"))


def in_page(parsed: Parsed, kind: str) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(parsed.texts[f"volume-{kind}"])))


def test_nothing_is_fetched(parsed: Parsed) -> None:
    for tag, name, value in parsed.attributes:
        if name in ("src", "href", "srcset", "action", "data"):
            assert value.startswith(("data:", "#")), (tag, name, value[:80])
    policy = next(
        value for _, name, value in parsed.attributes if name == "content" and "default-src" in value
    )
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "url(" not in parsed.everything["style"]
    assert "import" not in parsed.everything["style"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_volume_comes_back_from_the_page(parsed: Parsed, kind: Kind) -> None:
    image, data = in_page(parsed, kind), arrays()[kind]
    np.testing.assert_allclose(image.affine, affine(), atol=1e-5)
    if kind in ("difference", "probability"):
        step = np.abs(data).max() / 1000
        np.testing.assert_allclose(image.get_fdata(), data, rtol=0, atol=0.51 * step)
    else:
        np.testing.assert_array_equal(np.asarray(image.dataobj), data)
        assert image.get_data_dtype() == data.dtype


def test_a_scaled_input_keeps_its_stored_voxels_and_scale(tmp_path: Path) -> None:
    paths = stored(tmp_path, arrays())
    image = nibabel.Nifti1Image(arrays()["input"], affine())
    image.header.set_slope_inter(0.25, -3)
    nibabel.save(image, paths["input"])
    viewer_html(tmp_path / "p.html", "scaled", paths, {})
    back = in_page(Parsed((tmp_path / "p.html").read_text(encoding="utf-8")), "input")
    np.testing.assert_array_equal(back.dataobj.get_unscaled(), arrays()["input"])
    np.testing.assert_array_equal(back.get_fdata(), arrays()["input"] * 0.25 - 3)


@pytest.mark.parametrize("dtype", [np.float64, np.int64, ">i2", ">f4"])
def test_any_kind_of_number_is_embedded_as_what_a_viewer_reads(tmp_path: Path, dtype: Any) -> None:
    paths = stored(tmp_path, arrays())
    data = arrays()["input"].astype(dtype)
    header = nibabel.Nifti1Header(endianness=">" if str(dtype).startswith(">") else "<")
    nibabel.save(nibabel.Nifti1Image(data, affine(), header, dtype=dtype), paths["input"])
    viewer_html(tmp_path / "p.html", "wide", paths, {})
    back = in_page(Parsed((tmp_path / "p.html").read_text(encoding="utf-8")), "input")
    assert back.get_data_dtype().itemsize <= 4
    np.testing.assert_array_equal(back.get_fdata(), data)


def test_a_large_page_rounds_its_images_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = stored(tmp_path, arrays())
    viewer_html(tmp_path / "p.html", "small", paths, {})
    monkeypatch.setattr(subject_page, "LARGE", 1000)
    viewer_html(tmp_path / "q.html", "large", paths, {})
    small, large = (Parsed((tmp_path / name).read_text(encoding="utf-8")) for name in ("p.html", "q.html"))
    assert len(large.texts["volume-healthy"]) < 0.8 * len(small.texts["volume-healthy"])
    assert "healthy to 0.012;" in large.everything["p"]
    assert "healthy to" not in small.everything["p"]
    np.testing.assert_allclose(in_page(large, "healthy").get_fdata(), arrays()["healthy"], rtol=0, atol=0.007)
    np.testing.assert_array_equal(in_page(large, "input").get_fdata(), arrays()["input"])  # of 16 bits anyway


def test_what_a_header_holds_of_the_patient_stays_out(tmp_path: Path) -> None:
    paths = stored(tmp_path, arrays())
    image = nibabel.load(paths["input"])
    image.header["descrip"] = b"Jane Doe"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"born 1970"))
    nibabel.save(image, paths["input"])
    viewer_html(tmp_path / "p.html", "private", paths, {})
    back = in_page(Parsed((tmp_path / "p.html").read_text(encoding="utf-8")), "input")
    assert not back.header.extensions
    assert back.header["descrip"].item() == b""


def test_numbers_warnings_provenance_and_the_sentence_are_shown(parsed: Parsed) -> None:
    table, words = parsed.everything["td"] + parsed.everything["th"], parsed.everything["p"]
    for expected in ("2.59 ml", "4.00 % of the brain", "64.8 ml", "3.10 % of", "c0ffee", "weights, method"):
        assert expected in table
    assert RESEARCH_USE in words
    assert "is <out of distribution>: compare the training data" in words
    assert "Lesion volume: these weights mark <healthy> tissue." in words
    assert "sub-01 </script>" in parsed.everything["h1"]
    assert "c0ffee" not in words


def test_the_views_start_in_the_lesion(parsed: Parsed) -> None:
    settings = json.loads(parsed.texts["settings"])
    voxel = np.linalg.inv(affine()) @ [*settings["start"], 1]
    assert arrays()["probability"][tuple(voxel[:3].round().astype(int))] > 0.5
    np.testing.assert_allclose(settings["to_voxel"] @ np.array([*settings["start"], 1]), voxel[:3], atol=1e-4)


def test_an_uncertainty_is_a_fifth_view_with_its_value_and_its_intervals(
    tmp_path: Path, parsed: Parsed
) -> None:
    data = {**arrays(), "uncertainty": np.where(arrays()["input"] > 0, 40, 0).astype(np.float32)}
    report = {"lesion_ml": 2.6, "uncertainty": {"lesion_ml_68": (2, 3.25), "lesion_ml_95": (1, 9.5)}}
    viewer_html(tmp_path / "p.html", "unsure", stored(tmp_path, data), report)
    unsure = Parsed((tmp_path / "p.html").read_text(encoding="utf-8"))
    back = in_page(unsure, "uncertainty").get_fdata()
    np.testing.assert_allclose(back, data["uncertainty"], rtol=0, atol=0.021)
    assert json.loads(unsure.texts["settings"])["widest"] == 40
    for page, there in ((unsure, True), (parsed, False)):
        ids = {value for _, name, value in page.attributes if name == "id"}
        assert ({"view-uncertainty", "value-uncertainty", "volume-uncertainty"} <= ids) == there
    cells = unsure.everything["td"]
    assert "2.00 to 3.25 ml" in cells
    assert "1.00 to 9.50 ml" in cells
    assert "to 9.50 ml" not in parsed.everything["td"]


def test_without_lesion_numbers_or_mosaic_there_is_a_page_too(tmp_path: Path) -> None:
    data = arrays()
    data["probability"] = np.zeros(SHAPE, dtype=np.float32)
    data["difference"] = np.zeros(SHAPE, dtype=np.float32)
    viewer_html(tmp_path / "p.html", "well", stored(tmp_path, data), {"lesion_ml": 0.0})
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "0.00 ml" in text
    assert "<img" not in text
    assert not in_page(Parsed(text), "difference").get_fdata().any()


def test_volumes_on_two_grids_are_refused(tmp_path: Path) -> None:
    paths = stored(tmp_path, arrays())
    nibabel.save(nibabel.Nifti1Image(arrays()["healthy"], np.eye(4)), paths["healthy"])
    with pytest.raises(InputError, match=r"healthy\.nii\.gz: not on the grid"):
        viewer_html(tmp_path / "p.html", "two", paths, {})
    volumes: Volumes = {**paths, "healthy": nibabel.load(paths["healthy"])}
    with pytest.raises(InputError, match=r"healthy: not on the grid of .*input\.nii\.gz"):
        viewer_html(tmp_path / "p.html", "two", volumes, {})
    assert not (tmp_path / "p.html").exists()


def test_the_middle_of_nothing_is_that_of_the_image() -> None:
    """As where the background is so dark that the brain, too, is below 0 in the file."""
    assert _middle(np.zeros((7, 8, 9), bool)).tolist() == [3, 4, 4]


@pytest.mark.parametrize("seed", range(3))
def test_the_middle_is_the_nearest_voxel_of_the_largest_part(seed: int) -> None:
    """Against distances worked out voxel by voxel, in a part that does not hold its own centre."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((14, 12, 10), bool)
    mask[2:9, 2:9, 3:6] = True
    mask[3:8, 3:8] = False  # a ring
    mask[12, 10, rng.integers(0, 8)] = True  # and another part, far away
    mask[2 + seed, 2, 6:9] = True
    voxels = np.argwhere(mask & (np.arange(14) < 11)[:, None, None])
    distance = ((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1)
    found = _middle(mask)
    assert mask[tuple(found)]
    assert ((found - voxels.mean(axis=0)) ** 2).sum() == pytest.approx(distance.min())
