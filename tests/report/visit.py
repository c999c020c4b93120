"""A toy subject and its page, and what a visitor of a subject's page does there and sees."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pseudohealthy.report.viewer.subject_page import KINDS, Kind, viewer_html
from report import browser

SHAPE = (30, 36, 24)
LESION = np.s_[18:24, 10:16, 8:14]  # on the patient's left
MOUSE = "Input.dispatchMouseEvent"
BUTTONS = {"left": 1, "right": 2}  # as bits

Button = Literal["left", "right"]
Arrays = dict[Kind, NDArray[Any]]
Picture = NDArray[np.int_]


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


def toy_page(folder: Path) -> Path:
    Image.new("RGB", (80, 40), "orange").save(folder / "mosaic.png")
    page = folder / "a page.html"
    viewer_html(page, "sub-01 </script>", stored(folder, arrays()), FACTS, folder / "mosaic.png")
    return page


def opened(page: Path, profile: Path, *flags: str) -> AbstractContextManager[browser.Page]:
    if browser.program() is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return browser.opened(page, profile, *flags)


def act(tab: browser.Page, name: str, value: str) -> None:
    """Move a slider or choose, as a user would."""
    tab.value(
        f"(() => {{ const control = document.getElementById('{name}'); control.value = '{value}';"
        "control.dispatchEvent(new Event('input')); control.dispatchEvent(new Event('change')) })()"
    )


def click(tab: browser.Page, name: str) -> None:
    """A button or a box to tick."""
    tab.value(f"document.getElementById('{name}').click()")


def anew(tab: browser.Page) -> None:
    """The controls that were used, and the views, as they were at the beginning."""
    tab.value(
        "document.querySelectorAll('.controls input').forEach((control) => {"
        "const [now, first] = control.type === 'checkbox' ?"
        "['checked', 'defaultChecked'] : ['value', 'defaultValue'];"
        "if (control[now] === control[first]) return;"
        "control[now] = control[first];"
        "control.dispatchEvent(new Event('input')); control.dispatchEvent(new Event('change')) })"
    )
    if tab.value("document.getElementById('plane').value") != "axial":
        act(tab, "plane", "axial")
    tab.value("document.activeElement.blur()")
    click(tab, "start")


def text(tab: browser.Page, name: str) -> str:
    return str(tab.value(f"document.getElementById('{name}').textContent"))


def mouse(tab: browser.Page, kind: str, at: tuple[float, float], button: Button, **more: Any) -> None:
    """Press, move or release; a press is down until it is released."""
    down = 0 if kind == "mouseReleased" else BUTTONS[button]
    more = {"clickCount": 1, **more}
    tab.call(MOUSE, type=kind, x=at[0], y=at[1], button=button, buttons=down, **more)


def press(tab: browser.Page, key: str, code: str) -> None:
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key=key, code=code, text=key)


def view(tab: browser.Page, kind: Kind) -> Picture:
    return tab.canvas(f"views.{kind}.drawScene()", f"views.{kind}.canvas")


def drawn(tab: browser.Page) -> dict[Kind, Picture]:
    return {kind: view(tab, kind) for kind in KINDS}


def middle(tab: browser.Page, kind: Kind) -> tuple[float, float]:
    """Where in the window the middle of a view is."""
    x, y = tab.value(
        f"(() => {{ const box = document.querySelector('#view-{kind}').getBoundingClientRect();"
        "return [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)] })()"
    )
    return x, y


def cross_hairs(picture: Picture) -> NDArray[np.bool_]:
    """Where their green is: no grey and no colour of the scales is green."""
    red, green, blue = np.moveaxis(picture, 2, 0)
    found: NDArray[np.bool_] = green - np.maximum(red, blue) > 30
    return found


def crossing(picture: Picture) -> tuple[int, int]:
    """Column and row where the cross-hairs meet."""
    green = cross_hairs(picture)
    columns, rows = green.sum(axis=0), green.sum(axis=1)
    assert min(columns.max(), rows.max()) > 100, "no cross-hairs"
    return int(columns.argmax()), int(rows.argmax())


def apart(first: Picture, second: Picture) -> int:
    """The largest difference of any pixel."""
    return int(np.abs(first - second).max())


def check_drawn(tab: browser.Page) -> None:
    tab.wait_for("document.body && document.body.dataset.viewer")
    assert tab.value("document.body.dataset.viewer") == "drawn", text(tab, "state")
    for kind in KINDS:
        picture = tab.pixels(f"#view-{kind}")
        assert min(picture.shape[:2]) > 200, kind  # the views have a size
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50, kind


def check_fading(tab: browser.Page, change: int) -> None:
    """The first view goes from input to healthy, which differ by `change` of 255 or more, and back."""
    begin = drawn(tab)
    act(tab, "fade", "50")
    half = view(tab, "input")
    act(tab, "fade", "100")
    end = view(tab, "input")
    assert apart(begin["input"], begin["healthy"]) >= change
    assert apart(end, begin["healthy"]) <= 3
    assert np.abs(half - (begin["input"] + end) / 2).max() <= 4
    assert text(tab, "name-input") == "Healthy"
    act(tab, "fade", "0")
    assert apart(view(tab, "input"), begin["input"]) <= 3


def check_values(tab: browser.Page, data: Mapping[Kind, NDArray[Any]]) -> None:
    """What is read out at the cross-hairs is what is stored there."""
    voxel = tuple(json.loads(f"[{text(tab, 'place').split('(voxel ')[1].rstrip(')')}]"))
    for kind, array in data.items():
        rounded = 0.51 * float(np.abs(array).max()) / 1000
        told = float(text(tab, f"value-{kind}"))
        assert told == pytest.approx(float(array[voxel]), rel=1e-3, abs=rounded), (kind, voxel)


def check_quiet(tab: browser.Page) -> None:
    """Nothing was asked of a network, and nothing complained."""
    asked = [event["request"]["url"] for event in tab.said("Network.requestWillBeSent")]
    assert asked
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked), asked
    assert not tab.said("Runtime.exceptionThrown")
    assert not [each for each in tab.said("Runtime.consoleAPICalled") if each["type"] in ("error", "warning")]
    assert not [each for each in tab.said("Log.entryAdded") if each["entry"]["level"] == "error"]
