"""DICOM is recognised without its libraries, and what lacks is named with the command that installs it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fixtures.brains import brain, write
from fixtures.scans import flair
from pseudohealthy.dicom.extra import is_dicom, require_extra
from pseudohealthy.errors import InputError


def test_folders_archives_and_dicom_files_are_recognised(tmp_path: Path) -> None:
    flair()[0].save_as(tmp_path / "one", enforce_file_format=True)
    with zipfile.ZipFile(tmp_path / "two", "w") as archive:
        archive.writestr("file", b"1")
    assert all(is_dicom(path) for path in (tmp_path, tmp_path / "one", tmp_path / "two"))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("text", encoding="utf-8")
    others = ["pipe", "text", "absent", write(tmp_path / "image.nii.gz", brain()).name]
    assert not any(is_dicom(tmp_path / name) for name in others)


def test_without_the_extra_its_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_extra(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "highdicom" else find(name))
    with pytest.raises(InputError) as refused:
        require_extra(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path} is a folder: to read DICOM, highdicom is needed and not installed; pip install "
        "'.[dicom]' (in a clone of the repository), or give a NIfTI file"
    )


def test_nothing_but_dicom_loads_the_room_and_its_libraries(tmp_path: Path) -> None:
    image = write(tmp_path / "scan.nii.gz", brain())
    code = """
import sys
from pathlib import Path
from pseudohealthy.cli.dicom import read_if_dicom
from pseudohealthy.cli.main import app
from pseudohealthy.synthesis.synthesize import synthesize
assert read_if_dicom(Path(sys.argv[1]), None, writes=False) is None
loaded = {name.removeprefix("pseudohealthy.dicom.") for name in sys.modules if "pseudohealthy.dicom." in name}
sys.exit(bool({"highdicom", "dcm2niix"} & set(sys.modules) or loaded != {"extra", "folder", "series_report"}))
"""
    subprocess.run([sys.executable, "-c", code, image], check=True)
