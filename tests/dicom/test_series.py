"""The FLAIR is found among the series of a study, or those that there are are listed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fixtures.scans import FLAIR, STUDY, directory, exported, flair, images, other_series, stack, write
from pseudohealthy.dicom.series import Series, choose, find_series
from pseudohealthy.dicom.sources import opened
from pseudohealthy.errors import InputError


def series_in(folder: Path) -> list[Series]:
    with opened(folder) as members:
        return find_series(folder, members)[0]


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> list[Series]:
    """Of an exported study."""
    return series_in(exported(tmp_path_factory.mktemp("study")))


def test_all_series_are_found_each_image_once(every: list[Series]) -> None:
    assert [each.row for each in every] == [
        "1: localizer FLAIR (3 slices, localiser)",
        "2: AX T1 SE (20 slices)",
        "3: AX T1 FLAIR (20 slices)",
        "4: STIR (20 slices)",
        "5: AX T2 FLAIR (20 slices)",
        "6: AX T2 FLAIR MPR (20 slices, derived)",
        "7: AX T2 FLAIR (20 slices, phase)",
        "8: FLAIR perfusion map (3 slices, no MR image)",
    ]
    assert [len(each.members) for each in every] == [each.slices for each in every]


def test_the_flair_is_found_by_its_header(every: list[Series]) -> None:
    assert choose("study", every).number == 5


def test_a_series_is_chosen_by_number_uid_or_description(every: list[Series]) -> None:
    assert choose("study", every, "2").number == 2
    assert choose("study", every, every[3].uid) is every[3]
    assert choose("study", every, "t1 se").number == 2
    assert choose("study", every, "MPR").number == 6
    assert choose("study", every, "AX T2").number == 5  # others of the name are left out where they may be


def test_none_and_several_are_told_with_those_there_are(every: list[Series]) -> None:
    advice = (
        "expected one, so choose with --series (its number, UID or a part of its description), or give one "
        "alone, of"
    )
    begin = f"study: {{}}; {advice}"
    with pytest.raises(InputError) as none:
        choose("study", every[:4])
    assert str(none.value).splitlines() == [
        begin.format("no FLAIR series"),
        *(f"  {each.row}" for each in every[:4]),
    ]
    with pytest.raises(InputError) as absent:
        choose("study", every, "99")
    assert str(absent.value).splitlines()[0] == begin.format("no series for --series 99")
    assert len(str(absent.value).splitlines()) == 1 + len(every)
    with pytest.raises(InputError) as several:
        choose("study", every, "AX")
    assert str(several.value).splitlines() == [
        begin.format("3 series for --series AX"),
        *(f"  {every[place].row}" for place in (1, 2, 4)),
    ]


def test_two_flairs_are_told_apart_by_uid_where_numbers_are_the_same(tmp_path: Path) -> None:
    both = series_in(write(tmp_path, [*flair(), *flair("sagittal", SeriesDescription="SAG FLAIR")]))
    with pytest.raises(InputError) as several:
        choose("study", both)
    lines = str(several.value).splitlines()[1:]
    assert lines == [f"  {each.row}, UID {each.uid}" for each in both]


def test_what_holds_no_mr_images_is_refused_even_on_request(every: list[Series]) -> None:
    with pytest.raises(InputError, match="series 8 holds no MR images"):
        choose("study", every, "8")


def test_a_flair_of_two_slices_is_not_taken_unasked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no FLAIR series.*\n  5: AX T2 FLAIR \(2 slices\)"):
        choose("study", series_in(write(tmp_path, flair()[:2])))


def test_a_long_list_ends(tmp_path: Path) -> None:
    of = stack()
    one = of._replace(pixels=of.pixels[:1], positions=of.positions[:1])
    many = [image for number in range(70) for image in images(one, number, SeriesDescription="T2")]
    with pytest.raises(InputError) as none:
        choose("study", series_in(write(tmp_path, many)))
    lines = str(none.value).splitlines()
    assert len(lines) == 62
    assert lines[-1] == "  and 10 more"


def test_phase_images_within_a_series_are_left_out(tmp_path: Path) -> None:
    magnitude = flair()
    phase = images(stack(), 5, **{**FLAIR, "ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]})
    for image in phase:
        image.SeriesInstanceUID = magnitude[0].SeriesInstanceUID
    (found,) = series_in(write(tmp_path, [*phase, *magnitude]))
    assert (found.slices, found.row) == (20, "5: AX T2 FLAIR (20 slices)")


def test_damaged_files_that_could_be_images_are_counted(tmp_path: Path) -> None:
    write(tmp_path, flair()[:5])
    whole = sorted(tmp_path.iterdir())[0].read_bytes()
    for place in (132, 200, 600, whole.index(b"SIEMENS")):
        (tmp_path / f"cut{place}").write_bytes(whole[:place])
    (tmp_path / "text").write_bytes(whole[:100])
    directory(flair()[0]).save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    with opened(tmp_path) as members:
        (found,), damaged = find_series(tmp_path, members)
    assert (found.slices, damaged) == (5, 4)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text", encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}: no DICOM images among 1 files")):
        series_in(tmp_path)


def test_progress_is_told(tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    write(tmp_path, flair()[:3])
    with opened(tmp_path) as members:
        find_series(tmp_path, members, lambda *given: calls.append(given))
    assert calls == [(0, 3, ""), (1, 3, ""), (2, 3, "")]


def test_a_series_without_number_and_description_has_its_line(tmp_path: Path) -> None:
    bare = flair()
    for image in bare:
        del image.SeriesNumber, image.SeriesDescription
    (found,) = series_in(write(tmp_path, bare))
    assert (found.row, found.name) == ("-: no description (20 slices)", f"series {found.uid}")
    assert choose("study", [found]) is found


def test_the_study_s_own_pictures_are_of_one_study() -> None:
    assert {image.StudyInstanceUID for image in other_series()} == {STUDY}
