"""A subject's page: one file with all in it, volumes as they were, and in a browser something to see."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.report import viewer
from pseudohealthy.report.viewer import KINDS, Kind, viewer_html
from report import browser

SHAPE = (30, 36, 24)
LESION = np.s_[18:24, 10:16, 8:14]
VIEWS = {kind: f"#view-{kind}" for kind in KINDS}

Arrays = dict[Kind, NDArray[Any]]


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


def affine() -> NDArray[np.float64]:
    """Oblique, stored to the patient's left and posterior, 2 x 2 x 3 mm."""
    angle = np.deg2rad(20)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    out = np.eye(4)
    out[:3, :3] = turn @ np.diag([-2.0, -2.0, 3.0])
    out[:3, 3] = (30, 40, -20)
    return out


def arrays() -> Arrays:
    """A ball with texture and a bright box, which the healthy image lacks."""
    rng = np.random.default_rng(0)
    places = np.moveaxis(np.indices(SHAPE), 0, -1) - np.array(SHAPE) / 2
    ball = (np.abs(places) ** 2).sum(axis=-1) < 11**2
    healthy = (ball * rng.uniform(200, 400, SHAPE)).astype(np.float32)
    x = np.rint(healthy).astype(np.int16)
    x[LESION] = 800
    probability = np.zeros(SHAPE, dtype=np.float32)
    probability[LESION] = 0.937
    return {"input": x, "healthy": healthy, "difference": healthy - x, "probability": probability}


def stored(folder: Path, data: Arrays) -> dict[Kind, Path]:
    paths: dict[Kind, Path] = {kind: folder / f"{kind}.nii.gz" for kind in data}
    for kind, array in data.items():
        nibabel.save(nibabel.Nifti1Image(array, affine()), paths[kind])
    return paths


FACTS = {
    "version": "0.1.0",
    "lesion_ml": 2.592,
    "brain_ml": 64.8,
    "anomaly": {"mean": 0.031, "percentile_99": 0.4},
    "weights": {"method": "paired", "sha256": "c0ffee"},
    "warnings": ("looks <unlike> the training data",),
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viewer")
    from PIL import Image

    Image.new("RGB", (80, 40), "orange").save(folder / "mosaic.png")
    viewer_html(
        folder / "a page.html", "sub-01 </script>", stored(folder, arrays()), FACTS, folder / "mosaic.png"
    )
    return folder / "a page.html"


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
    monkeypatch.setattr(viewer, "LARGE", 1000)
    viewer_html(tmp_path / "q.html", "large", paths, {})
    small, large = (Parsed((tmp_path / name).read_text(encoding="utf-8")) for name in ("p.html", "q.html"))
    assert len(large.texts["volume-healthy"]) < 0.8 * len(small.texts["volume-healthy"])
    assert "healthy to 0.012;" in large.everything["p"]
    assert "healthy to" not in small.everything["p"]
    np.testing.assert_allclose(in_page(large, "healthy").get_fdata(), arrays()["healthy"], rtol=0, atol=0.007)
    np.testing.assert_array_equal(in_page(large, "input").get_fdata(), arrays()["input"])  # of 16 bits anyway


def test_what_a_header_tells_of_the_patient_stays_out(tmp_path: Path) -> None:
    paths = stored(tmp_path, arrays())
    image = nibabel.load(paths["input"])
    image.header["descrip"] = b"Jane Doe"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"born 1970"))
    nibabel.save(image, paths["input"])
    viewer_html(tmp_path / "p.html", "private", paths, {})
    back = in_page(Parsed((tmp_path / "p.html").read_text(encoding="utf-8")), "input")
    assert not back.header.extensions
    assert back.header["descrip"].item() == b""


def test_numbers_warnings_provenance_and_the_sentence_are_told(parsed: Parsed) -> None:
    table, words = parsed.everything["td"] + parsed.everything["th"], parsed.everything["p"]
    for told in ("2.59 ml", "4.00 % of the brain", "64.8 ml", "3.10 % of", "c0ffee", "weights, method"):
        assert told in table
    assert RESEARCH_USE in words
    assert "looks <unlike> the training data" in words
    assert "sub-01 </script>" in parsed.everything["h1"]
    assert "c0ffee" not in words


def test_the_views_start_in_the_lesion(parsed: Parsed) -> None:
    settings = json.loads(parsed.texts["settings"])
    voxel = np.linalg.inv(affine()) @ [*settings["start"], 1]
    assert arrays()["probability"][tuple(voxel[:3].round().astype(int))] > 0.5
    np.testing.assert_allclose(settings["to_voxel"] @ np.array([*settings["start"], 1]), voxel[:3], atol=1e-4)


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
    assert not (tmp_path / "p.html").exists()


@pytest.fixture(scope="module")
def shown(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    with _opened(page, tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def _opened(page: Path, profile: Path, *flags: str) -> Any:
    if browser.program() is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return browser.opened(page, profile, *flags)


def act(tab: browser.Page, name: str, value: str) -> None:
    """Move a slider or choose, as a user would."""
    tab.value(
        f"(() => {{ const control = document.getElementById('{name}'); control.value = '{value}';"
        "control.dispatchEvent(new Event('input')); control.dispatchEvent(new Event('change')) })()"
    )


def view(tab: browser.Page, kind: Kind) -> NDArray[np.int_]:
    return tab.canvas(f"views.{kind}.drawScene()", f"views.{kind}.canvas")


def middle(tab: browser.Page, kind: Kind) -> tuple[float, float]:
    """Where in the window the middle of a view is."""
    x, y = tab.value(
        f"(() => {{ const box = document.querySelector('{VIEWS[kind]}').getBoundingClientRect();"
        "return [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)] })()"
    )
    return x, y


def drawn(tab: browser.Page) -> dict[str, NDArray[np.int_]]:
    return {kind: view(tab, kind) for kind in KINDS}


@pytest.mark.slow
class TestInABrowser:
    """In the order of a visit; the page stays open."""

    def test_the_volumes_are_drawn(self, shown: browser.Page) -> None:
        shown.wait_for("document.body && document.body.dataset.viewer")
        assert shown.value("document.body.dataset.viewer") == "drawn", shown.value(
            "document.getElementById('state').textContent"
        )
        for kind, selector in VIEWS.items():
            picture = shown.pixels(selector)
            assert picture.shape[0] > 200, kind  # the views have a size
            assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50, kind

    def test_the_colours_are_those_of_the_scales(self, shown: browser.Page) -> None:
        shown.value("document.getElementById('cross').click()")  # its green is in nobody's way then
        now = drawn(shown)
        colour = {kind: (picture.max(axis=2) - picture.min(axis=2)).max() for kind, picture in now.items()}
        assert colour["input"] < 10
        assert colour["healthy"] < 10
        red, _, blue = np.moveaxis(now["difference"], 2, 0)
        assert (blue - red).max() > 100  # the healthy image is darker in the lesion ...
        assert (red - blue).max() < 30  # ... and nowhere brighter
        red, _, blue = np.moveaxis(now["probability"], 2, 0)
        assert (red - blue).max() > 60

    def test_the_slider_goes_from_input_to_healthy(self, shown: browser.Page) -> None:
        begin = drawn(shown)
        act(shown, "fade", "50")
        half = view(shown, "input")
        act(shown, "fade", "100")
        end = view(shown, "input")
        assert np.abs(begin["input"] - begin["healthy"]).max() > 80  # the lesion
        assert np.abs(end - begin["healthy"]).max() <= 3
        assert np.abs(half - (begin["input"] + end) / 2).max() <= 4
        assert shown.value("document.getElementById('name-input').textContent") == "Healthy"
        act(shown, "fade", "0")
        assert np.abs(view(shown, "input") - begin["input"]).max() <= 3

    def test_the_lesion_goes_with_its_opacity(self, shown: browser.Page) -> None:
        act(shown, "opacity", "0")
        now = drawn(shown)
        assert np.abs(now["probability"] - now["input"]).max() <= 3
        act(shown, "opacity", "100")
        assert np.abs(view(shown, "probability") - now["probability"]).max() > 100

    def test_what_is_read_out_is_what_is_stored(self, shown: browser.Page) -> None:
        self._check_values(shown)

    def test_the_wheel_moves_all_views(self, shown: browser.Page) -> None:
        place = shown.value("document.getElementById('place').textContent")
        begin = drawn(shown)
        kinds: tuple[Kind, ...] = ("healthy", "probability")
        for kind in kinds:
            x, y = middle(shown, kind)
            shown.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=100)
            shown.wait_for(f"document.getElementById('place').textContent !== {place!r}")
            place = shown.value("document.getElementById('place').textContent")
            self._check_values(shown)
            now = drawn(shown)
            assert all(np.abs(now[each] - begin[each]).max() > 20 for each in KINDS)
            begin = now

    def test_the_right_button_moves_all_views_and_the_way_back_is_found(self, shown: browser.Page) -> None:
        shown.value("document.getElementById('start').click()")
        begin = drawn(shown)
        x, y = middle(shown, "difference")
        mouse = "Input.dispatchMouseEvent"
        shown.call(mouse, type="mousePressed", x=x, y=y, button="right", buttons=2, clickCount=1)
        shown.call(mouse, type="mouseMoved", x=x + 40, y=y + 20, button="right", buttons=2)
        now = drawn(shown)  # while the button is down
        shown.call(mouse, type="mouseReleased", x=x + 40, y=y + 20, button="right", clickCount=1)
        for kind in KINDS:
            moved = np.roll(begin[kind], (20, 40), axis=(0, 1))[60:-60, 60:-60]
            assert (
                np.abs(now[kind][60:-60, 60:-60] - moved).mean()
                < 0.3 * np.abs(now[kind] - begin[kind]).mean()
            )
        shown.value("document.getElementById('start').click()")
        assert all(np.abs(picture - begin[kind]).max() <= 3 for kind, picture in drawn(shown).items())

    def test_every_plane_is_drawn(self, shown: browser.Page) -> None:
        seen = []
        for plane in ("axial", "coronal", "sagittal", "all"):
            act(shown, "plane", plane)
            seen.append(view(shown, "input"))
        for first, second in itertools.pairwise(seen):
            assert np.abs(first - second).max() > 50

    def test_on_paper_the_mosaic_takes_the_viewers_place(self, shown: browser.Page) -> None:
        display = "getComputedStyle(document.querySelector('{}')).display"
        assert shown.value(display.format(".mosaic")) == "none"
        shown.call("Emulation.setEmulatedMedia", media="print")
        assert shown.value(display.format(".mosaic")) == "block"
        assert shown.value(display.format(".viewer")) == "none"
        shown.call("Emulation.setEmulatedMedia", media="screen")

    def test_nothing_was_asked_of_a_network_and_nothing_complained(self, shown: browser.Page) -> None:
        asked = [event["request"]["url"] for event in shown.said("Network.requestWillBeSent")]
        assert asked
        assert all(url.startswith(("file:", "data:", "blob:")) for url in asked), asked
        assert not shown.said("Runtime.exceptionThrown")
        assert not [
            each for each in shown.said("Runtime.consoleAPICalled") if each["type"] in ("error", "warning")
        ]
        assert not [each for each in shown.said("Log.entryAdded") if each["entry"]["level"] == "error"]

    def _check_values(self, shown: browser.Page) -> None:
        text = shown.value("document.getElementById('place').textContent")
        voxel = tuple(int(part) for part in text.split("(voxel ")[1].rstrip(")").split(","))
        for kind, array in arrays().items():
            told = float(shown.value(f"document.getElementById('value-{kind}').textContent"))
            rounded = 0.51 * float(np.abs(array).max()) / 1000
            assert told == pytest.approx(float(array[voxel]), rel=1e-3, abs=rounded), (kind, voxel)


@pytest.mark.slow
def test_without_webgl_the_mosaic_and_a_line_are_shown(page: Path, tmp_path: Path) -> None:
    with _opened(page, tmp_path, "--disable-3d-apis") as tab:
        tab.wait_for("document.body && document.body.dataset.viewer")
        assert "WebGL 2" in tab.value("document.getElementById('state').textContent")
        assert (np.abs(tab.pixels(".mosaic img") - (255, 165, 0)).max(axis=2) <= 2).mean() > 0.9
        assert tab.value("getComputedStyle(document.querySelector('.viewer')).display") == "none"
