"""A subject's page in a headless Chromium: something to see, and controls that change it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fixtures import browser
from fixtures.page_visits import (
    MOUSE,
    Arrays,
    Picture,
    act,
    anew,
    apart,
    arrays,
    check_drawn,
    check_fading,
    check_quiet,
    check_values,
    click,
    cross_hairs,
    crossing,
    drawn,
    middle,
    mouse,
    opened,
    press,
    stored,
    text,
    toy_page,
    view,
)
from pseudohealthy.report.viewer.subject_page import KINDS, Kind, viewer_html


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_page(tmp_path_factory.mktemp("viewer"))


@pytest.fixture(scope="module")
def tab(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    """The page, which stays open: to open it takes longer than all that is done with it."""
    with opened(page, tmp_path_factory.mktemp("profile")) as tab:
        check_drawn(tab)
        yield tab


@pytest.fixture
def shown(tab: browser.Page) -> browser.Page:
    anew(tab)
    return tab


@pytest.mark.slow
class TestInABrowser:
    """In the order of a visit."""

    def test_the_colours_are_those_of_the_scales(self, shown: browser.Page) -> None:
        click(shown, "cross")  # its green is in nobody's way then
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
        check_fading(shown, change=80)

    def test_the_lesion_goes_with_its_opacity(self, shown: browser.Page) -> None:
        act(shown, "opacity", "0")
        now = drawn(shown)
        assert apart(now["probability"], now["input"]) <= 3
        act(shown, "opacity", "100")
        assert apart(view(shown, "probability"), now["probability"]) > 100

    def test_what_is_read_out_is_what_is_stored(self, shown: browser.Page) -> None:
        check_values(shown, arrays())

    def test_the_wheel_moves_all_views(self, shown: browser.Page) -> None:
        place, begin = text(shown, "place"), drawn(shown)
        kinds: tuple[Kind, ...] = ("healthy", "probability")
        for kind in kinds:
            x, y = middle(shown, kind)
            shown.call(MOUSE, type="mouseWheel", x=x, y=y, deltaX=0, deltaY=100)
            shown.wait_for(f"document.getElementById('place').textContent !== {place!r}")
            place, now = text(shown, "place"), drawn(shown)
            check_values(shown, arrays())
            assert all(apart(now[each], begin[each]) > 20 for each in KINDS)
            begin = now

    def test_the_right_button_moves_all_views_and_the_start_button_undoes_it(
        self, shown: browser.Page
    ) -> None:
        begin = drawn(shown)
        x, y = middle(shown, "difference")
        mouse(shown, "mousePressed", (x, y), "right")
        mouse(shown, "mouseMoved", (x + 40, y + 20), "right")
        now = drawn(shown)  # while the button is down
        mouse(shown, "mouseReleased", (x + 40, y + 20), "right")
        for kind in KINDS:
            moved = np.roll(begin[kind], (20, 40), axis=(0, 1))[60:-60, 60:-60]
            assert (
                np.abs(now[kind][60:-60, 60:-60] - moved).mean()
                < 0.3 * np.abs(now[kind] - begin[kind]).mean()
            )
        click(shown, "start")
        assert all(apart(picture, begin[kind]) <= 3 for kind, picture in drawn(shown).items())

    def test_every_plane_is_drawn(self, shown: browser.Page) -> None:
        seen = []
        for plane in ("axial", "coronal", "sagittal", "all"):
            act(shown, "plane", plane)
            seen.append(view(shown, "input"))
        for first, second in itertools.pairwise(seen):
            assert apart(first, second) > 50

    def test_on_paper_the_mosaic_takes_the_viewers_place(self, shown: browser.Page) -> None:
        display = "getComputedStyle(document.querySelector('{}')).display"
        assert shown.value(display.format(".mosaic")) == "none"
        shown.call("Emulation.setEmulatedMedia", media="print")
        assert shown.value(display.format(".mosaic")) == "block"
        assert shown.value(display.format(".viewer")) == "none"
        shown.call("Emulation.setEmulatedMedia", media="screen")

    def test_no_network_was_used_and_nothing_complained(self, shown: browser.Page) -> None:
        check_quiet(shown)


class TestControls:
    @pytest.mark.parametrize("clicked", KINDS)
    def test_a_left_click_in_one_view_moves_the_cross_hairs_of_all(
        self, shown: browser.Page, clicked: Kind
    ) -> None:
        begin = drawn(shown)
        x, y = middle(shown, clicked)
        at = (x - 60, y + 50)
        mouse(shown, "mousePressed", at, "left")
        mouse(shown, "mouseReleased", at, "left")
        now = drawn(shown)
        for kind in KINDS:
            height, width = now[kind].shape[:2]
            want = (width / 2 - 60, height / 2 + 50)
            assert np.abs(np.subtract(crossing(begin[kind]), want)).min() > 50
            assert np.abs(np.subtract(crossing(now[kind]), want)).max() <= 7, kind  # a voxel's middle is near
        check_values(shown, arrays())

    def test_a_left_drag_takes_the_slices_of_all_views_along(self, shown: browser.Page) -> None:
        act(shown, "plane", "all")
        begin = drawn(shown)
        x, y = middle(shown, "difference")
        mouse(shown, "mousePressed", (x - 60, y - 60), "left")
        seen = []
        for step in (0, 25):
            mouse(shown, "mouseMoved", (x - 60 - step, y - 60 - step), "left")
            seen.append(drawn(shown))  # while the button is down
        mouse(shown, "mouseReleased", (x - 85, y - 85), "left")
        for before, after in itertools.pairwise((begin, *seen)):
            crosses = {kind: cross_hairs(picture) for kind, picture in after.items()}
            for kind in KINDS:
                assert (crosses[kind] ^ crosses["difference"]).mean() < 0.002, kind
                elsewhere = ~(crosses[kind] | cross_hairs(before[kind]))
                assert np.abs(after[kind] - before[kind])[elsewhere].max() > 50, kind
        check_values(shown, arrays())

    def test_a_double_click_leaves_the_brightness_alone(self, shown: browser.Page) -> None:
        act(shown, "brightness", "50")
        seen = []
        for count in (1, 2):
            for kind in ("mousePressed", "mouseReleased"):
                mouse(shown, kind, middle(shown, "input"), "left", clickCount=count)
            seen.append(drawn(shown))
        assert all(apart(seen[0][kind], seen[1][kind]) <= 3 for kind in KINDS)

    def test_no_key_takes_the_slices_from_the_wheel(self, shown: browser.Page) -> None:
        at = middle(shown, "input")
        for kind in ("mousePressed", "mouseReleased"):
            mouse(shown, kind, at, "left")  # the keys go to this view
        for _ in range(3):
            press(shown, "m", "KeyM")
        place = text(shown, "place")
        shown.call(MOUSE, type="mouseWheel", x=at[0], y=at[1], deltaX=0, deltaY=100)
        shown.wait_for(f"document.getElementById('place').textContent !== {place!r}")

    def test_with_the_right_button_down_the_wheel_zooms_all_views(self, shown: browser.Page) -> None:
        click(shown, "cross")
        begin = drawn(shown)
        at = middle(shown, "input")
        mouse(shown, "mousePressed", at, "right")
        for _ in range(3):
            mouse(shown, "mouseWheel", at, "right", deltaX=0, deltaY=-100)
        mouse(shown, "mouseReleased", at, "right")
        now = drawn(shown)
        for kind in KINDS:
            larger = (now[kind] > 40).any(axis=2).sum() / (begin[kind] > 40).any(axis=2).sum()
            assert 1.3 < larger < 1.8, kind  # 1.3 times as wide, and at the edges something is lost
        click(shown, "start")
        assert all(apart(view(shown, kind), begin[kind]) <= 3 for kind in KINDS)

    @pytest.mark.parametrize("way", ["button", "space bar", "space bar on the button"])
    def test_a_flip_shows_the_healthy_image_and_the_next_the_input(
        self, shown: browser.Page, way: str
    ) -> None:
        begin = drawn(shown)
        if way == "space bar on the button":  # which the browser takes for a click
            shown.value("document.getElementById('flip').focus()")
        wanted: tuple[tuple[Kind, str], ...] = (("healthy", "100"), ("input", "0"), ("healthy", "100"))
        for kind, place in wanted:
            if way == "button":
                click(shown, "flip")
            else:
                press(shown, " ", "Space")
            assert apart(view(shown, "input"), begin[kind]) <= 3
            assert shown.value("document.getElementById('fade').value") == place
            assert text(shown, "name-input").lower() == kind

    @pytest.mark.parametrize(("place", "factor"), [("50", 2.0), ("-50", 0.5)])
    def test_brightness_multiplies_the_greys_of_all_views(
        self, shown: browser.Page, place: str, factor: float
    ) -> None:
        click(shown, "cross")
        begin = drawn(shown)
        tops = "Array.from(document.querySelectorAll('.top'), (label) => Number(label.textContent))"
        top = shown.value(tops)
        act(shown, "brightness", place)
        now = drawn(shown)
        inside = np.s_[40:-40, 40:-40]  # letters at the edges stay as they are
        grey: tuple[Kind, ...] = ("input", "healthy")
        same = (np.abs(begin["input"] - begin["healthy"]) <= 1)[inside]  # the lesion ends up white
        for kind in grey:
            want = begin[kind][inside] * factor
            assert np.abs(now[kind][inside] - want)[same].max() <= 4, kind
        under = (begin["probability"] == begin["input"]).all(axis=2)
        assert np.abs(now["probability"] - now["input"])[under].max() <= 3
        shift = np.mean(now["difference"][inside] - begin["difference"][inside])
        assert shift * (factor - 1) > 1
        assert shown.value(tops) == pytest.approx([each / factor for each in top], rel=0.01)

    @pytest.mark.parametrize("plane", ["axial", "coronal"])
    def test_the_patients_right_is_on_the_left_until_the_box_is_cleared(
        self, shown: browser.Page, plane: str
    ) -> None:
        click(shown, "cross")
        act(shown, "plane", plane)
        begin = drawn(shown)
        click(shown, "radiological")
        now = drawn(shown)
        assert _centre_of_orange(begin["probability"]) > 0.55  # the lesion is on the patient's left
        assert _centre_of_orange(now["probability"]) < 0.45
        for kind in KINDS:
            change = np.abs(now[kind] - begin[kind]).mean()
            assert np.abs(now[kind][:, ::-1] - begin[kind]).mean() < 0.3 * change, kind

    def test_voxels_have_edges_once_they_are_shown(self, shown: browser.Page) -> None:
        begin = drawn(shown)
        click(shown, "voxels")
        now = drawn(shown)
        assert all(_flat(begin[kind]) < 0.5 for kind in KINDS)
        assert all(_flat(now[kind]) > 0.75 for kind in KINDS)

    def test_the_cross_hairs_go_and_come_back(self, shown: browser.Page) -> None:
        counts = []
        for _ in range(3):
            counts.append([cross_hairs(picture).sum() for picture in drawn(shown).values()])
            click(shown, "cross")
        assert min(counts[0]) > 300
        assert max(counts[1]) == 0
        assert counts[2] == counts[0]

    def test_larger_views_are_larger_and_as_sharp(self, shown: browser.Page) -> None:
        boxes = "Object.values(views).map((view) => view.canvas.getBoundingClientRect().width)"
        begin = shown.value(boxes)
        click(shown, "large")
        wide = shown.value(boxes)
        assert np.min(np.divide(wide, begin)) > 1.8
        shown.wait_for(f"views.probability.canvas.width > {1.5 * begin[-1]}")
        for picture, width in zip(drawn(shown).values(), wide, strict=True):
            assert picture.shape[1] == pytest.approx(width, abs=2)
            assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50

    def test_no_control_asks_a_network_or_complains(self, shown: browser.Page) -> None:
        check_quiet(shown)


@pytest.mark.slow
def test_without_webgl_the_mosaic_and_a_line_are_shown(page: Path, tmp_path: Path) -> None:
    with opened(page, tmp_path, "--disable-3d-apis") as tab:
        tab.wait_for("document.body && document.body.dataset.viewer")
        assert "WebGL 2" in text(tab, "state")
        assert (np.abs(tab.pixels(".mosaic img") - (255, 165, 0)).max(axis=2) <= 2).mean() > 0.9
        assert tab.value("getComputedStyle(document.querySelector('.viewer')).display") == "none"


@pytest.mark.slow
def test_an_uncertainty_is_a_view_like_the_others(tmp_path: Path) -> None:
    wide = np.where(arrays()["probability"] > 0.5, 90.0, 15.0) * (arrays()["input"] > 0)
    data: Arrays = {**arrays(), "uncertainty": wide.astype(np.float32)}
    viewer_html(tmp_path / "p.html", "unsure", stored(tmp_path, data), {})
    with opened(tmp_path / "p.html", tmp_path / "profile") as tab:
        check_drawn(tab)
        click(tab, "cross")
        red, _, blue = np.moveaxis(view(tab, "uncertainty"), 2, 0)
        assert (red - blue).max() > 60  # the lesion, where it is widest
        click(tab, "cross")
        check_values(tab, data)
        check_quiet(tab)


@pytest.mark.slow
def test_a_processed_volume_of_real_size_is_drawn_and_fades(tmp_path: Path) -> None:
    from benchmarks.volume import SHAPE, written
    from pseudohealthy.synthesis.bundled_weights import bundled_weights
    from pseudohealthy.synthesis.model import Model
    from pseudohealthy.synthesis.synthesize import synthesize

    image = written(tmp_path / "sub-01_FLAIR.nii.gz", 1.0)
    files = synthesize(image, Model.load(bundled_weights(), "cpu", "auto")).save(tmp_path / "out", image.name)
    kinds: tuple[Kind, ...] = ("healthy", "difference", "probability")
    paths: dict[Kind, Path] = {"input": image, **{kind: files[kind] for kind in kinds}}
    data: Arrays = {kind: nibabel.load(path).get_fdata(dtype=np.float32) for kind, path in paths.items()}
    assert data["input"].shape == SHAPE
    with opened(files["page"], tmp_path / "profile") as tab:
        check_drawn(tab)
        check_fading(tab, change=30)
        check_values(tab, data)
        check_quiet(tab)


def _centre_of_orange(picture: Picture) -> float:
    """The column of what counts as lesion, from 0 to 1."""
    orange = picture[..., 0] - picture[..., 2] > 60
    assert orange.sum() > 100
    return float(np.flatnonzero(orange.any(axis=0)).mean() / orange.shape[1])


def _flat(picture: Picture) -> float:
    """The share of pixels of the head like their right neighbours."""
    inside = picture[40:-40, 40:-40]
    like = (inside[:, 1:] == inside[:, :-1]).all(axis=2)
    return float(like[(inside[:, 1:] > 20).any(axis=2)].mean())
