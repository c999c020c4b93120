"""The page in a headless Chromium: from a dropped file to the viewer and a downloaded one."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from fixtures import browser
from fixtures.brains import brain, ellipse, write
from fixtures.page_server import PATIENCE, PageServer, gone, page_server
from fixtures.scans import NAME, PLANTED, exported, zipped
from pseudohealthy.synthesis.bundled_weights import bundled_weights

READY = "!!document.getElementById('version')?.textContent"
ENDED = "['done', 'failed'].includes(document.querySelector('#jobs > li')?.dataset.state)"


@pytest.fixture(autouse=True)
def emptied(server: PageServer) -> None:
    """Each test finds an empty list."""
    for job in server.jobs():
        assert server.ask("DELETE", f"/api/jobs/{job['id']}").status == 204


def drop(tab: browser.Page, *files: Path) -> None:
    """Drop files on the page as a person does."""
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    for step in ("dragEnter", "dragOver", "drop"):
        tab.call("Input.dispatchDragEvent", type=step, x=300, y=300, data=data)


def press(tab: browser.Page, key: str, code: int, text: str = "") -> None:
    for kind in ("keyDown", "keyUp"):
        typed = {"text": text} if text and kind == "keyDown" else {}
        tab.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **typed)


def tab_to(tab: browser.Page, selector: str) -> None:
    """Press the tabulator until an element has the focus."""
    for _ in range(40):
        if tab.value(f"document.activeElement.matches({selector!r})"):
            return
        press(tab, "Tab", 9)
    raise AssertionError(f"the keyboard does not reach {selector}")


def wait_until(true: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)


def viewer_is_drawn(tab: browser.Page) -> bool:
    """Whether a brain is seen on the viewer's black."""
    return bool(tab.pixels()[200:600, 200:1200].std() >= 30)


def quiet(tab: browser.Page, origin: str) -> None:
    """Nothing was asked of another host, nothing was refused by the policy, and no script failed."""
    asked = [sent["request"]["url"] for sent in tab.said("Network.requestWillBeSent")]
    assert all(url.startswith((origin, "data:", "blob:", "about:")) for url in asked), asked
    assert tab.said("Runtime.exceptionThrown") == []
    assert [entry for entry in tab.said("Log.entryAdded") if entry["entry"]["level"] == "error"] == []


@pytest.mark.skipif(browser.program() is None, reason="no Chromium here: apt-get install chromium")
def test_from_a_dropped_file_to_a_downloaded_one(tmp_path: Path, server: PageServer, image: Path) -> None:
    broken = tmp_path / "<img src=x>broken.nii.gz"
    broken.write_bytes(b"not an image")
    with browser.opened(server.address, tmp_path / "profile") as tab:
        tab.wait_for(f"document.readyState === 'complete' && {READY}")
        assert tab.value("location.href") == f"{server.origin}/"  # without the token
        tab_to(tab, "#uncertainty")
        press(tab, " ", 32, " ")
        drop(tab, image, broken)
        tab.wait_for("document.querySelectorAll('#jobs > li').length === 2")
        tab.wait_for(
            "[...document.querySelectorAll('#jobs > li')].every(({ dataset }) =>"
            " ['done', 'failed'].includes(dataset.state))"
        )
        done, failed = server.jobs()
        assert (
            tab.value("document.querySelector('[data-state=failed] .error').textContent") == failed["error"]
        )
        assert tab.value("document.querySelector('[data-state=failed] h3').textContent") == broken.name
        assert tab.value("document.querySelector('[data-state=done] .panel').decode().then(() => true)")
        low, high = done["interval"]
        what = tab.value("document.querySelector('[data-state=done] .what').textContent")
        assert f"(95 % interval {low:g} to {high:g} ml)" in what
        assert "failed" in tab.value("document.getElementById('live').textContent").lower()

        tab.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "downloads"))
        tab.value("document.querySelector('.files').open = true")
        for link in (".files a[href$=healthy]", ".zip"):
            tab.value(f"document.querySelector('[data-state=done] {link}').click()")
            time.sleep(0.5)
        healthy = server.ask("GET", f"/results/{done['id']}/healthy").body
        name = done["files"][0]["name"]
        arrived = [tmp_path / "downloads" / name, tmp_path / "downloads" / "sub-01_desc-pseudohealthy.zip"]
        wait_until(lambda: all(path.exists() for path in arrived))
        assert arrived[0].read_bytes() == healthy

        tab_to(tab, "[data-state=done] .view")
        press(tab, "Enter", 13, "\r")
        assert tab.value("document.getElementById('viewer').open")
        assert tab.value("document.activeElement.id") == "viewer-close"
        frame = "document.getElementById('viewer-frame')"
        assert tab.value(f"{frame}.contentDocument") is None  # shut off from the page
        tab.wait_for(f"{frame}.src.endsWith('/results/{done['id']}/view')")
        wait_until(lambda: viewer_is_drawn(tab))
        press(tab, "Escape", 27)
        assert not tab.value("document.getElementById('viewer').open")

        tab_to(tab, "[data-state=failed] .remove")
        press(tab, " ", 32, " ")
        tab.wait_for("document.querySelectorAll('#jobs > li').length === 1")
        assert tab.value("document.activeElement.tagName") == "BUTTON"
        quiet(tab, server.origin)


@pytest.mark.skipif(browser.program() is None, reason="no Chromium here: apt-get install chromium")
def test_cancelled_with_the_keyboard_the_work_stops_and_the_focus_stays(tmp_path: Path) -> None:
    shape = (160, 200, 150)  # takes the networks of the package a minute
    image = write(tmp_path / "sub-01_FLAIR.nii.gz", brain(inside=ellipse(shape, (70, 85, 72))))
    with (
        page_server(tmp_path / "temporary", bundled_weights()) as server,
        browser.opened(server.address, tmp_path / "profile") as tab,
    ):
        tab.wait_for(READY)
        drop(tab, image)
        tab.wait_for("!!document.querySelector('[data-state=working]')")
        tab_to(tab, "[data-state=working] .cancel")
        worker = server.worker()
        press(tab, " ", 32, " ")
        tab.wait_for("!!document.querySelector('[data-state=cancelled]')")
        assert tab.value("document.querySelector('[data-state=cancelled] .state').textContent") == "Cancelled"
        assert tab.value("document.getElementById('live').textContent").startswith(f"{image.name}: Cancelled")
        assert tab.value("document.activeElement.matches('[data-state=cancelled] .remove')")
        (job,) = server.jobs()
        assert job["state"] == "cancelled"
        assert gone(worker)
        wait_until(lambda: not (server.folders()[0] / job["id"]).exists())
        press(tab, " ", 32, " ")
        tab.wait_for("document.querySelectorAll('#jobs > li').length === 0")
        assert tab.value("document.activeElement.id") == "files"
        assert server.jobs() == []
        quiet(tab, server.origin)


@pytest.mark.skipif(browser.program() is None, reason="no Chromium here: apt-get install chromium")
def test_the_focus_stays_on_an_image_that_is_done_meanwhile(
    tmp_path: Path, server: PageServer, image: Path
) -> None:
    with browser.opened(server.address, tmp_path / "profile") as tab:
        tab.wait_for(READY)
        tab.value(
            "globalThis.whenShown = new MutationObserver(() => document.querySelector('.cancel')?.focus())"
        )
        tab.value("whenShown.observe(document.getElementById('jobs'), { childList: true })")
        drop(tab, image)
        tab.wait_for(ENDED)
        assert tab.value("document.activeElement.matches('[data-state=done] .view')")


@pytest.mark.skipif(browser.program() is None, reason="no Chromium here: apt-get install chromium")
def test_from_a_dropped_zip_of_dicom_to_a_series_of_the_same_patient(
    tmp_path: Path, server: PageServer
) -> None:
    study = zipped(exported(tmp_path / "study"), tmp_path / "study.zip")
    with browser.opened(server.address, tmp_path / "profile") as tab:
        tab.wait_for(READY)
        drop(tab, study)
        tab.wait_for(ENDED)
        assert tab.value("document.querySelector('.error').textContent") == ""
        assert tab.value("document.querySelector('h3').textContent") == study.name
        said = tab.value("document.querySelector('.warnings').innerText")
        assert "series 5, AX T2 FLAIR: 20 slices were taken" in said
        assert not any(word in tab.value("document.body.innerText") for word in PLANTED)
        assert tab.value("document.querySelector('[data-state=done] .panel').decode().then(() => true)")

        downloads = tmp_path / "downloads"
        tab.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        tab.value("document.querySelector('[data-state=done] .zip').click()")
        arrived = downloads / "study_desc-pseudohealthy.zip"
        wait_until(arrived.exists)
        with zipfile.ZipFile(arrived) as packed:
            slices = [name for name in packed.namelist() if Path(name).name.startswith("healthy_")]
            image = pydicom.dcmread(io.BytesIO(packed.read(slices[0])))
        assert (len(slices), image.PatientName) == (20, NAME)

        tab.value("document.querySelector('[data-state=done] .view').click()")
        wait_until(lambda: viewer_is_drawn(tab))
        quiet(tab, server.origin)


@pytest.mark.skipif(browser.program() is None, reason="no Chromium here: apt-get install chromium")
def test_without_the_token_the_page_says_what_to_open(tmp_path: Path, server: PageServer) -> None:
    with browser.opened(server.origin, tmp_path / "profile") as tab:
        tab.wait_for("!document.getElementById('notice')?.hidden && document.readyState === 'complete'")
        assert "the token" in tab.value("document.getElementById('notice').textContent")


@pytest.mark.skipif(browser.program() is None, reason="no Chromium here: apt-get install chromium")
def test_whatever_can_be_used_has_a_name(tmp_path: Path, server: PageServer, image: Path) -> None:
    job = server.wait_for(server.upload(image.name, image.read_bytes()).json["id"], "done", "failed")
    with browser.opened(server.address, tmp_path / "profile") as tab:
        tab.wait_for("!!document.querySelector('[data-state=done]')")
        tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "link", "checkbox", "progressbar", "textbox", "image")
    used = [node for node in tree if node.get("role", {}).get("value") in roles and not node["ignored"]]
    assert len(used) > 4
    assert [node for node in used if not node.get("name", {}).get("value")] == []
    names = {node["name"]["value"] for node in used}
    assert {f"View {job['name']}", f"Download all files of {job['name']}", f"Remove {job['name']}"} <= names
