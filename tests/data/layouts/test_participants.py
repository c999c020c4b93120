from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.cohorts import participants
from pseudohealthy.data.layouts.participants import Participants, read_participants
from pseudohealthy.errors import InputError

TWO = {"1", "2"}
PLAIN = "participant_id\tgroup\tsplit\nsub-1\tstroke\ttrain\nsub-2\tHC\ttest\n"


def of(folder: Path, content: bytes | str, name: str = "participants.tsv") -> Participants:
    """What a table of this content says of subjects 1 and 2."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_participants(folder, TWO)


def test_without_a_table_nothing_is_said(tmp_path: Path) -> None:
    assert read_participants(tmp_path, TWO) == Participants({}, {})


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (PLAIN, None),
        (b"\xef\xbb\xbf" + PLAIN.encode(), None),
        (PLAIN.replace("\n", "\r\n"), None),
        (PLAIN.replace("\n", "\r"), None),
        (PLAIN.replace("\t", " \t").replace("\n", "  \n"), None),
        (PLAIN.replace("\n", "\t\t\n") + "\t\t\n\n", None),
        (
            PLAIN.replace("group", "Group")
            .replace("split", "SPLIT")
            .replace("participant_id", "Participant_ID"),
            None,
        ),
        (PLAIN.replace("HC", '"HC"'), None),
        (PLAIN.replace("sub-", "Sub-"), None),
        (PLAIN.replace("\t", ","), "columns parted by ',', expected tabs; read so"),
        (PLAIN.replace("\t", ";"), "columns parted by ';', expected tabs; read so"),
        (PLAIN.encode("utf-16"), "is UTF-16, expected UTF-8; read so"),
        (PLAIN.replace("split", "split\tmédecin").encode("latin-1"), "is not UTF-8; read as Latin-1"),
    ],
)
def test_a_table_as_a_spreadsheet_writes_it(tmp_path: Path, content: bytes | str, note: str | None) -> None:
    found = of(tmp_path, content)
    assert found.groups == {"1": "patient", "2": "control"}
    assert found.splits == {"1": "train", "2": "test"}
    assert found.words == ("stroke", "HC")
    result = ["participants.tsv: group: stroke = patient (1), HC = control (1)"]
    assert list(found.notes) == ([f"participants.tsv: {note}"] if note else []) + result


def test_other_names_of_the_table(tmp_path: Path) -> None:
    found = of(tmp_path, PLAIN.replace("\t", ","), "Participants.csv")
    assert found.groups == {"1": "patient", "2": "control"}
    assert found.notes[0] == "Participants.csv: read in place of participants.tsv"
    (tmp_path / "Participants.csv").rename(tmp_path / "participants.xlsx")
    (note,) = read_participants(tmp_path, TWO).notes
    assert note == "participants.xlsx: not read; save it as participants.tsv"


def test_own_words_need_no_word(tmp_path: Path) -> None:
    assert of(tmp_path, PLAIN.replace("stroke", "patient").replace("HC", "control")).notes == ()


def test_words_for_splits(tmp_path: Path) -> None:
    found = of(tmp_path, "participant_id\tsplit\nsub-1\tTraining\nsub-2\tvalidation\n")
    assert found.splits == {"1": "train", "2": "val"}
    assert found.notes == ("participants.tsv: split: Training = train (1), validation = val (1)",)


def test_words_for_controls_are_those_that_are_given(tmp_path: Path) -> None:
    participants(tmp_path, "participant_id\tgroup", "sub-1\t1", "sub-2\t0")
    found = read_participants(tmp_path, TWO, ["0"])
    assert found.groups == {"1": "patient", "2": "control"}
    assert found.notes == ("participants.tsv: group: 1 = patient (1), 0 = control (1)",)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["participant_id\tsplit", "sub-1\tdev", "sub-2\ttest"], "split 'dev' of sub-1"),
        (
            ["participant_id\tgroup", "sub-1\t0", "sub-2\t1"],
            r"group holds 0 \(1\), 1 \(1\); which are controls",
        ),
        (["name", "sub-1", "sub-2"], "no column participant_id, found name"),
        (["participant_id split", "sub-1 train"], "no column participant_id, found participant_id split"),
        (["participant_id\tgroup", "sub-1\tpatient\tx"], "line 2 has 3 cells for 2 columns"),
        (
            ["participant_id\tgroup", 'sub-1\t"MS', "sub-2\tHC"],
            "a cell that ends in line 3 runs over several lines",
        ),
        (["participant_id\tgroup", "\tpatient"], "line 2 has no participant_id"),
        (["participant_id\tage", "n/a\t3"], "line 2 has no participant_id"),
        (["participant_id\tgroup\tGroup", "sub-1\tpatient\tHC"], "several columns group"),
        (
            ["participant_id\tgroup", "1\tpatient", "sub-1\tcontrol"],
            r"line 2 \(1: group patient\) and line 3 \(sub-1: group control\) are of one subject, sub-1",
        ),
        (["participant_id\tsplit", "1\ttrain", "1\tn/a"], r"line 2 .* and line 3 .* contradict"),
    ],
)
def test_tables_that_cannot_be_understood_are_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    table = participants(tmp_path, *lines)
    with pytest.raises(InputError, match=message) as error:
        read_participants(tmp_path, TWO)
    assert str(table) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"PK\x03\x04\x00\x00", PLAIN.encode("utf-16-le")])
def test_a_table_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="cannot be read as a table"):
        of(tmp_path, content)


def test_a_table_that_was_not_fetched_is_refused(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").symlink_to("gone")
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_participants(tmp_path, TWO)


def test_rows_that_say_the_same_are_one(tmp_path: Path) -> None:
    found = of(
        tmp_path, "participant_id\tsession_id\tgroup\n1\t1\tpatient\nsub-1\t2\tpatient\n2\t1\tcontrol\n"
    )
    assert found.groups == {"1": "patient", "2": "control"}
    assert found.notes == ("participants.tsv: several rows that say the same of sub-1; taken as one each",)


def test_zeros_that_a_spreadsheet_took_away(tmp_path: Path) -> None:
    participants(tmp_path, "participant_id\tgroup", "5\tpatient", "12\tcontrol")
    found = read_participants(tmp_path, {"005", "012"})
    assert found.groups == {"005": "patient", "012": "control"}
    assert found.notes == (
        "participants.tsv: zeros in front are missing; took 5 for sub-005, 12 for sub-012",
    )
    assert read_participants(tmp_path, {"05", "005"}).groups == {}  # which of the two is not known


def test_subjects_without_a_row_are_told_where_there_are_groups(tmp_path: Path) -> None:
    participants(tmp_path, "participant_id\tgroup", "sub-1\tcontrol")
    assert read_participants(tmp_path, TWO).notes == (
        "participants.tsv: no row for sub-2; taken for patients",
    )


@pytest.mark.parametrize(
    "name", ["diagnosis", "dx", "participant_group", "DX_GROUP", "Diagnosis", "arm", "typ"]
)
def test_groups_in_another_column_are_told(tmp_path: Path, name: str) -> None:
    (note,) = of(tmp_path, PLAIN.replace("group", name)).notes
    assert note == (
        f"participants.tsv: {name.lower()} (stroke, HC) found, not read; `group` expected, so all are taken "
        "for patients: rename the column"
    )


@pytest.mark.parametrize("name", ["set", "partition", "fold", "split_2024"])
def test_splits_in_another_column_are_told(tmp_path: Path, name: str) -> None:
    note = of(tmp_path, PLAIN.replace("split", name)).notes[-1]
    assert f"{name} (train, test) found, not read; `split` expected, so the split is drawn" in note


def test_other_columns_are_no_groups(tmp_path: Path) -> None:
    content = "participant_id\tage\tsex\tsite\tlesion_ml\n1\t30\tM\tCS\t2.5\n2\t40\tF\tHT\t0\n"
    assert of(tmp_path, content).notes == ()


def test_an_empty_table_is_told(tmp_path: Path) -> None:
    assert of(tmp_path, "\n").notes == ("participants.tsv: is empty",)


def test_an_empty_column_of_groups_hides_no_other(tmp_path: Path) -> None:
    lines = ("participant_id\tgroup\tdiagnosis", "sub-1\tn/a\tstroke", "sub-2\t\tHC")
    participants(tmp_path, *lines)
    (note,) = read_participants(tmp_path, TWO).notes
    assert "diagnosis (stroke, HC) found, not read; `group` expected" in note


def test_groups_of_a_library_mean_nothing(tmp_path: Path) -> None:
    participants(tmp_path, "participant_id\tgroup\tdx", "sub-1\t1\tHC", "sub-2\t2\tMS")
    assert read_participants(tmp_path, TWO, with_groups=False).notes == ()


def test_a_pipe_in_the_table_s_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "participants.tsv")
    with pytest.raises(
        InputError, match=r"cannot be read as a table \(expected a file, found a folder, pipe"
    ):
        read_participants(tmp_path, {"01"})


def test_a_name_of_more_digits_than_any_number_is_a_name(tmp_path: Path) -> None:
    long = "7" * 5000
    participants(tmp_path, "participant_id\tgroup", f"sub-{long}\tpatient")
    assert read_participants(tmp_path, {long[:4500]}).listed == (long,)
