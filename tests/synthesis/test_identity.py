"""What a file's header tells of a person is in nothing that is made of the file, but on request."""

from __future__ import annotations

import base64
import gzip
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Extension

from fixtures.brains import LPS, brain, lesion
from fixtures.cohorts import STUDY_SLICES, study
from fixtures.models import saved
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.synthesize import synthesize

PLANTED = {
    "descrip": b"DOE^JANE 1970-01-02",
    "aux_file": b"MRN-4711-0815",
    "db_name": b"Charite19700102",
    "intent_name": b"Dr_Mabuse",
    "data_type": b"JANEDOE",
}
EXTENSIONS = {
    2: b"PN DOE^JANE^EXT",
    4: b"<id>AFNI-4711</id>",
    6: b"seen by Dr_Caligari",
    44: b"{'id': 'XT-44'}",
}


def planted(path: Path, seed: int = 0, *, mask: bool = False, slices: slice = STUDY_SLICES) -> Path:
    """A patient's image, or its mask, whose header names them in every text field and in extensions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = lesion() if mask else np.where(lesion() > 0, 300, brain(seed)).astype(np.int16)
    image = nib.Nifti1Image(data[:, :, slices], LPS)
    for field, text in PLANTED.items():
        image.header[field] = text
    for code, text in EXTENSIONS.items():
        image.header.extensions.append(Nifti1Extension(code, text))
    nib.save(image, path)
    return path


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and of what is packed in it: gzip, base64 in pages, the chunks of a PNG."""
    content = path.read_bytes()
    yield content
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    for text in re.findall(rb"[A-Za-z0-9+/]{100,}={0,2}", content) if path.suffix == ".html" else ():
        inner = base64.b64decode(text + b"=" * (-len(text) % 4))
        yield inner
        if inner[:2] == b"\x1f\x8b":
            yield gzip.decompress(inner)
    for packed in (
        re.findall(rb"(?:zTXt|iTXt)[^\0]*\0+(x.*)", content, re.DOTALL) if path.suffix == ".png" else ()
    ):
        yield zlib.decompressobj().decompress(packed)


def leaks(folder: Path) -> set[tuple[str, str]]:
    """Which file of a folder holds which planted text."""
    return {
        (path.name, text.decode())
        for path in folder.rglob("*")
        if path.is_file()
        for content in contents(path)
        for text in (*PLANTED.values(), *EXTENSIONS.values())
        if text in content
    }


def run(program: str, *arguments: str | Path) -> str:
    """What a program of the package says."""
    code = f"from pseudohealthy.cli.program import {program}; {program}()"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights"), finds=True)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_nothing_that_synthesize_writes_or_says_names_the_patient(
    tmp_path: Path, weights: Path, name: str
) -> None:
    image = planted(tmp_path / "in" / name)
    assert len(leaks(tmp_path / "in")) == len(PLANTED) + len(EXTENSIONS)
    said = run("main", "synthesize", image, "--weights", weights, "-o", tmp_path / "out", "--blend")
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert {Path(file).suffix for file in files} == {".gz", ".json", ".png", ".html"}
    assert len(files) == 13
    assert leaks(tmp_path / "out") == set()
    assert not any(text.decode() in said for text in PLANTED.values())


def test_nothing_that_a_study_gives_names_a_patient(tmp_path: Path, weights: Path) -> None:
    bids, out = study(tmp_path / "bids", 1), tmp_path / "out"
    for number in (1, 2):
        planted(bids / f"sub-{number:02d}/anat/sub-{number:02d}_FLAIR.nii.gz", number)
    said = run("bids_main", bids, out, "participant", "--blend", "--weights", weights, "--jobs", "1")
    said += run("bids_main", bids, out, "group")
    assert (out / "group_report.html").is_file()
    assert len(list(out.rglob("*.nii.gz"))) == 10
    assert leaks(out) == set()
    assert not any(text.decode() in said for text in PLANTED.values())


def test_nothing_that_transplant_writes_or_says_names_the_patient(tmp_path: Path, weights: Path) -> None:
    place, whole = tmp_path / "in", slice(None)
    images = [planted(place / f"scan{number}.nii", number, slices=whole) for number in (1, 2)]
    mask = planted(place / "masks" / "lesion.nii.gz", mask=True, slices=whole)
    assert len(leaks(place)) == 3 * (len(PLANTED) + len(EXTENSIONS))
    given = ("transplant", "--weights", weights, "--device", "cpu")
    said = run("main", *given, images[0], "--lesion", mask, "-o", tmp_path / "one")
    said += run("main", *given, *images, "--count", "2", "--masks", mask.parent, "-o", tmp_path / "many")
    assert [len(list((tmp_path / name).rglob("*.nii.gz"))) for name in ("one", "many")] == [2, 8]
    assert leaks(tmp_path / "one") == leaks(tmp_path / "many") == set()
    assert not any(text.decode() in said for text in (*PLANTED.values(), *EXTENSIONS.values()))


def test_an_image_in_memory_leaves_nothing_either_and_all_on_request(tmp_path: Path, weights: Path) -> None:
    image = nib.load(planted(tmp_path / "in" / "scan.nii"))
    result = synthesize(image, Model.load(weights, "cpu"), blend=True)
    result.save(tmp_path / "out", "scan.nii")
    assert leaks(tmp_path / "out") == set()
    files = result.save(tmp_path / "all", "scan.nii", keep_header_text=True)
    volumes = {path.name for path in files.values() if path.name.endswith(".nii.gz")}
    assert {name for name, _ in leaks(tmp_path / "all")} == volumes
    assert len(leaks(tmp_path / "all")) == 5 * (len(PLANTED) + len(EXTENSIONS))
    for kind in ("healthy", "blended", "difference", "probability", "mask"):
        bare, full = (nib.load(tmp_path / folder / files[kind].name) for folder in ("out", "all"))
        np.testing.assert_array_equal(bare.get_fdata(), full.get_fdata())
        np.testing.assert_array_equal(bare.affine, full.affine)
