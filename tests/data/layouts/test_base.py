from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.cohorts import touch
from pseudohealthy.data.layouts.base import Tree, is_absent


def found(folder: Path, *roots: str) -> list[str]:
    """Volumes under the roots, as seen from the folder."""
    tree = Tree()
    tree.add([folder / root for root in roots], folder)
    return [path.relative_to(folder).as_posix() for path in tree.volumes]


def test_volumes_of_every_kind_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/c/one.nii.gz", "a/two.mgz", "a/notes.txt", "a/.hidden.nii", "a/.git/annex/three.nii")
    assert found(tmp_path, "a") == ["a/two.mgz", "a/b/c/one.nii.gz"]


def test_linked_folders_are_followed_and_circles_end(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", "derivatives/own/x.nii")
    touch(tmp_path / "far", "deep/y.nii")
    (data / "derivatives/far").symlink_to("../../far")
    (data / "derivatives/own/up").symlink_to("..")
    (data / "derivatives/raw").symlink_to("..")
    (data / "derivatives/over").symlink_to("../..")
    (tmp_path / "far/back").symlink_to(data)
    assert found(data, "derivatives") == ["derivatives/own/x.nii", "derivatives/far/deep/y.nii"]


def test_a_folder_that_is_reached_twice_counts_once_by_its_real_path(tmp_path: Path) -> None:
    touch(tmp_path, "d/masks/x.nii")
    (tmp_path / "d/alias").symlink_to("masks")
    assert found(tmp_path, "d") == ["d/masks/x.nii"]
    assert found(tmp_path, "d", "d/masks") == ["d/masks/x.nii"]


def test_links_to_nothing_and_to_themselves_are_told_apart(tmp_path: Path) -> None:
    touch(tmp_path, "d/x.nii")
    (tmp_path / "d/gone").symlink_to("nowhere")
    (tmp_path / "d/itself").symlink_to("itself")
    (tmp_path / "d/y.nii").symlink_to("nowhere.nii")
    tree = Tree()
    tree.add([tmp_path / "d"], tmp_path)
    assert tree.dead == [tmp_path / "d/gone", tmp_path / "d/itself"]
    assert tree.volumes == [tmp_path / "d/x.nii", tmp_path / "d/y.nii"]


@pytest.mark.parametrize(
    ("content", "absent"),
    [
        (b"/annex/objects/MD5E-s12--abc.nii.gz\n", True),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", True),
        (b"", False),
        (b"\x1f\x8b", False),
    ],
)
def test_pointers_have_no_content(tmp_path: Path, content: bytes, absent: bool) -> None:
    path = tmp_path / "x.nii.gz"
    path.write_bytes(content)
    assert is_absent(path) == absent


def test_a_link_to_nothing_has_no_content(tmp_path: Path) -> None:
    touch(tmp_path, "real.nii")
    (tmp_path / "dead.nii").symlink_to("gone.nii")
    (tmp_path / "live.nii").symlink_to("real.nii")
    names = ("dead.nii", "live.nii", "never.nii")
    assert [is_absent(tmp_path / name) for name in names] == [True, False, False]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.nii")
    assert not is_absent(tmp_path / "x.nii")
