"""Files of folders and archives: none is unpacked, and archives that would lead astray are refused."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from pseudohealthy.dicom import sources
from pseudohealthy.dicom.sources import Member, opened
from pseudohealthy.errors import InputError


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def contents(members: list[Member]) -> list[bytes]:
    found = []
    for member in members:
        with member.open() as file:
            found.append(file.read())
        assert member.size == len(found[-1])
    return found


def test_files_of_a_folder_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "one").write_bytes(b"1")
    (tmp_path / "two.dcm").write_bytes(b"22")
    (tmp_path / "circle").symlink_to(tmp_path)
    (tmp_path / "nothing").symlink_to(tmp_path / "absent")
    (tmp_path / "link").symlink_to(tmp_path / "two.dcm")
    os.mkfifo(tmp_path / "pipe")
    with opened(tmp_path) as members:
        assert contents(members) == [b"1", b"22", b"22"]
    with opened(tmp_path / "two.dcm") as members:
        assert contents(members) == [b"22"]


def test_files_of_an_archive_are_read_in_place(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", **{"x/": b"", "x/one": b"1", "x/y/two": b"22"})
    with opened(path) as members:
        assert contents(members) == [b"1", b"22"]
        assert [member.path for member in members] == [None, None]
    assert list(tmp_path.iterdir()) == [path]


def test_links_in_an_archive_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    path = archive(tmp_path / "a.zip", one=b"1")
    with zipfile.ZipFile(path, "a") as made:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, str(tmp_path / "secret"))
    with opened(path) as members:
        assert contents(members) == [b"1"]


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/out", "..\\out", "C:\\out", "C:/out"])
def test_an_archive_that_leads_out_of_itself_is_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "a.zip", one=b"1", **{name: b"2"})
    with pytest.raises(InputError, match=r"a\.zip: names files outside itself"), opened(path):
        pass
    assert list(tmp_path.iterdir()) == [path]


def test_archives_are_limited_in_size_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.zip", one=bytes(2**20), two=b"", three=b"")
    monkeypatch.setattr(sources, "MOST_BYTES", 2**19)
    with pytest.raises(InputError, match=r"unpacks to 0 GB; expected one study"), opened(path):
        pass
    monkeypatch.setattr(sources, "MOST_FILES", 2)
    for given in (path, tmp_path):
        (tmp_path / f"{given.name}.copy").touch()
        with pytest.raises(InputError, match=r"holds more than 2 files"), opened(given):
            pass


def test_an_archive_of_an_unknown_compression_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", one=b"1")
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\1\2", 10), (b"PK\3\4", 8)):
        content[content.index(mark) + place] = 9  # deflate64
    path.write_bytes(content)
    line = r"a\.zip: a zip archive of a compression that is not known here; unpack it, and give the folder"
    with pytest.raises(InputError, match=line), opened(path):
        pass


def test_a_member_that_holds_more_than_it_says_is_no_longer(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", one=bytes(10**6))
    content = bytearray(path.read_bytes())
    size = (10**6).to_bytes(4, "little")
    for _ in range(2):  # in the member's own header and in the archive's list
        place = content.index(size)
        content[place : place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    with opened(path) as (member,), member.open() as file, pytest.raises(zipfile.BadZipFile):
        assert len(file.read()) <= 10


def test_encrypted_and_damaged_archives_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", one=b"1")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"an encrypted zip archive; unpack it"), opened(path):
        pass
    content[content.index(b"PK\1\2") : content.index(b"PK\1\2") + 4] = b"XX\1\2"
    for damaged in (content, content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a damaged zip archive; fetch it again"), opened(path):
            pass
