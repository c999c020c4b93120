"""The table of a BIDS data set's subjects: `participants.tsv`, and what people make of it."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pseudohealthy.data.layouts.base import Group, grouped, listed, natural
from pseudohealthy.data.layouts.groups import groups_of, is_known, plain, taken_for
from pseudohealthy.errors import InputError
from pseudohealthy.files import MEGABYTE, read_bytes

if TYPE_CHECKING:
    from pseudohealthy.config import Split

TABLE = "participants.tsv"
ID, GROUP, SPLIT = "participant_id", "group", "split"
READ = (ID, GROUP, SPLIT)
SPLIT_WORDS: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# Columns under which others keep what stands in `group` and `split` here
LIKE_GROUP = re.compile(r"(\w*_)?(groups?|diagnos[ie]s|diag|dx|cohort|condition|disease|status|case_control)")
LIKE_SPLIT = re.compile(r"(\w*_)?(set|subset|partition|fold|splits?)|split_\w+")
LARGEST = 64 * MEGABYTE
LONGEST_NUMBER = 18  # digits of a subject's name that a spreadsheet may have taken for a number
MOST_WORDS = 8  # of a column that may be one of groups


@dataclass(frozen=True)
class Row:
    """A line of the table: its number, and its cells by column; None for `n/a` and for an empty one."""

    line: int
    cells: Mapping[str, str | None]

    @property
    def written(self) -> str:
        """The subject as the table has it."""
        return self.cells[ID] or ""

    @property
    def subject(self) -> str:
        """Its label, without `sub-`."""
        return re.sub(r"^sub-", "", self.written, flags=re.IGNORECASE)


@dataclass(frozen=True)
class Participants:
    """What the table says.

    Attributes:
        groups: by subject; those that it does not name are patients.
        splits: by subject, those that have one.
        listed: all subjects that have a row.
        words: for groups, as the table has them.
        notes: what was read in another way than it stands there, or not at all; a line each.
    """

    groups: Mapping[str, Group]
    splits: Mapping[str, Split]
    listed: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_participants(
    folder: Path, subjects: set[str], controls: Sequence[str] = (), *, with_groups: bool = True
) -> Participants:
    """Group and split of the subjects that have files; nothing where there is no table.

    Args:
        folder: the data set.
        subjects: those that have files, without `sub-`.
        controls: words for healthy controls in the column `group`; none: those that are known.
        with_groups: whether groups mean anything; in a lesion-mask library they do not.

    Raises:
        InputError: a table that cannot be read, or contradicts itself, or groups that are not understood.
    """
    table, notes = _table(folder)
    if table is None:
        return Participants({}, {}, notes=tuple(notes))
    rows, header = _rows(table, notes)
    rows = _one_each(_with_zeros(rows, subjects, notes), table, notes)
    of_files = [row for row in rows if row.subject in subjects]
    words = {row.subject: row.cells.get(GROUP) for row in of_files} if with_groups else {}
    try:
        groups = groups_of(words, controls)
    except InputError as error:
        raise InputError(f"{table}: {error}") from error
    splits = {row.subject: split for row in of_files if (split := _split(row, table))}
    notes += _notes_on_words(of_files, words, groups, splits, subjects)
    notes += _other_columns(rows, header, (GROUP, SPLIT) if with_groups else (SPLIT,))
    return Participants(
        groups=groups,
        splits=splits,
        listed=tuple(row.subject for row in rows),
        words=tuple(dict.fromkeys(word for word in words.values() if word)),
        notes=tuple(f"{table.name}: {note}" for note in notes),
    )


def _table(folder: Path) -> tuple[Path | None, list[str]]:
    """The table in a folder, and what is to be said of its name."""
    names = (path for path in sorted(folder.iterdir()) if path.name.lower().startswith("participant"))
    there = {path.name: path for path in names if not path.is_dir()}
    if TABLE in there:
        return there[TABLE], []
    for name, path in there.items():
        if name.lower() in (TABLE, "participants.csv", "participants.txt"):
            return path, [f"read in place of {TABLE}"]
    other = [name for name in there if not name.endswith(".json")]
    return None, [f"{listed(other)}: not read; save it as {TABLE}"] if other else []


def _rows(table: Path, notes: list[str]) -> tuple[list[Row], list[str]]:
    """The rows that are not blank, and the columns in lower case.

    Raises:
        InputError: no table, no subjects in it, or a row that does not fit its columns.
    """
    text = _text(table, notes)
    first = text.lstrip("\n").partition("\n")[0]
    mark = max("\t,;", key=lambda mark: (mark in first, -"\t,;".index(mark)))
    if mark in first and mark != "\t":
        notes.append(f"columns parted by {mark!r}, expected tabs; read so")
    try:
        lines = csv.reader(io.StringIO(text), delimiter=mark)
        numbered = [(lines.line_num, [cell.strip() for cell in line]) for line in lines]
    except csv.Error as error:
        raise InputError(f"{table}: cannot be read as a table ({error})") from error
    numbered = [(number, cells) for number, cells in numbered if any(cells)]
    if not numbered:
        notes.append("is empty")
        return [], []
    header = [name.strip().lower() for name in numbered[0][1]]
    _check_header(header, table)
    return [_row(number, cells, header, table) for number, cells in numbered[1:]], header


def _check_header(header: Sequence[str], table: Path) -> None:
    if ID not in header:
        found = listed((name or "a column without name" for name in header), most=8)
        raise InputError(
            f"{table}: no column {ID}, found {found}; expected tab-separated columns, {ID} first "
            "(sub-01 or 01 in each row)"
        )
    if twice := [name for name in READ if header.count(name) > 1]:
        raise InputError(f"{table}: several columns {listed(twice)}; keep one of each")


def _row(number: int, cells: list[str], header: Sequence[str], table: Path) -> Row:
    if any("\n" in cell for cell in cells):
        raise InputError(
            f"{table}: a cell that ends in line {number} runs over several lines; close its quotes"
        )
    if any(cells[len(header) :]):
        raise InputError(
            f"{table}: line {number} has {len(cells)} cells for {len(header)} columns; "
            "put one value into each column"
        )
    known = {name: cell for name, cell in zip(header, cells, strict=False) if name in READ or cell}
    row = Row(
        number,
        {name: None if cell.lower() in ("", "n/a", "na", "nan") else cell for name, cell in known.items()},
    )
    if not cells[header.index(ID) : header.index(ID) + 1] or not row.cells[ID]:
        raise InputError(f"{table}: line {number} has no {ID}; expected one in each row")
    return row


def _text(table: Path, notes: list[str]) -> str:
    """The table's characters, whatever a spreadsheet wrote them as, with plain line ends.

    Raises:
        InputError: no text.
    """
    try:
        content = read_bytes(table, LARGEST)
    except (OSError, ValueError) as error:
        raise InputError(f"{table}: cannot be read as a table ({error})") from error
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            text, note = content.decode("utf-16"), "is UTF-16, expected UTF-8; read so"
        else:
            text, note = content.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise InputError(f"{table}: cannot be read as a table ({error})") from error
        text, note = content.decode("cp1252", errors="replace"), "is not UTF-8; read as Latin-1"
    if "\0" in text:
        raise InputError(f"{table}: cannot be read as a table (it is not plain text); save it as UTF-8")
    notes += [note] if note else []
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_number(name: str) -> bool:
    """Whether a subject's name is a number that a spreadsheet may have shortened."""
    return name.isdecimal() and len(name) <= LONGEST_NUMBER


def _with_zeros(rows: Sequence[Row], subjects: set[str], notes: list[str]) -> list[Row]:
    """The rows; where a spreadsheet took `05` for the number 5, the subject is the only one it can be."""
    without = subjects - {row.subject for row in rows}
    numbers = grouped((name for name in sorted(without) if _is_number(name)), int)
    taken: dict[str, str] = {}
    for row in rows:
        fitting = numbers.get(int(row.subject), []) if _is_number(row.subject) else []
        if row.subject not in subjects and len(fitting) == 1:
            taken[row.written] = fitting[0]
    if taken:
        named = listed(f"{written} for sub-{name}" for written, name in taken.items())
        notes.append(f"zeros in front are missing; took {named}")
    return [
        Row(row.line, {**row.cells, ID: taken[row.written]}) if row.written in taken else row for row in rows
    ]


def _one_each(rows: Sequence[Row], table: Path, notes: list[str]) -> list[Row]:
    """One row a subject.

    Raises:
        InputError: rows of one subject that contradict each other.
    """
    by_subject = grouped(rows, lambda row: row.subject)
    for subject, same in by_subject.items():
        said = {(plain(row.cells.get(GROUP) or ""), (row.cells.get(SPLIT) or "").lower()) for row in same}
        if len(said) > 1:
            named = " and ".join(
                f"line {row.line} ({row.written}: "
                + ", ".join(
                    f"{name} {row.cells[name] or 'n/a'}" for name in (GROUP, SPLIT) if name in row.cells
                )
                + ")"
                for row in same
            )
            raise InputError(f"{table}: {named} are of one subject, sub-{subject}, and contradict each other")
    if several := [subject for subject, same in by_subject.items() if len(same) > 1]:
        names = listed(f"sub-{name}" for name in several)
        notes.append(f"several rows that say the same of {names}; taken as one each")
    return [same[0] for same in by_subject.values()]


def _split(row: Row, table: Path) -> Split | None:
    value = row.cells.get(SPLIT)
    if value is not None and value.lower() not in SPLIT_WORDS:
        raise InputError(f"{table}: split {value!r} of {row.written}, expected train, val or test")
    return SPLIT_WORDS[value.lower()] if value else None


def _notes_on_words(
    rows: Sequence[Row],
    words: Mapping[str, str | None],
    groups: Mapping[str, Group],
    splits: Mapping[str, Split],
    subjects: set[str],
) -> list[str]:
    """What the words for groups and splits were taken for, where they are not this program's own."""
    notes = []
    named = {word for word in words.values() if word}
    if named - {"patient", "control"} or (named and None in words.values()):
        notes.append(f"group: {taken_for(words, groups)}")
    others = Counter(
        (row.cells[SPLIT], splits[row.subject])
        for row in rows
        if row.subject in splits and row.cells[SPLIT] != splits[row.subject]
    )
    if others:
        notes.append("split: " + ", ".join(f"{word} = {split} ({n})" for (word, split), n in others.items()))
    if named and (without := sorted(subjects - words.keys(), key=natural)):
        notes.append(f"no row for {listed(f'sub-{name}' for name in without)}; taken for patients")
    return notes


def _other_columns(rows: Sequence[Row], header: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """A line for columns that seem to hold groups or splits, of those `wanted`, under another name."""
    notes = []
    kinds: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
        (GROUP, LIKE_GROUP, is_known),
        (SPLIT, LIKE_SPLIT, lambda word: word.lower() in SPLIT_WORDS),
    )
    for column, alike, known in kinds:
        if column not in wanted or any(row.cells.get(column) for row in rows):
            continue
        likely = []
        for name in dict.fromkeys(header):
            words = list(dict.fromkeys(word for row in rows if (word := row.cells.get(name))))
            alike_named = alike.fullmatch(plain(name).replace(" ", "_")) is not None
            if name not in READ and words and (alike_named or _holds(words, known)):
                likely.append(f"{name} ({listed(words, 3)})")
        if likely:
            so = "all are taken for patients" if column == GROUP else "the split is drawn"
            notes.append(f"{listed(likely)} found, not read; `{column}` expected, so {so}: rename the column")
    return notes


def _holds(words: Sequence[str], known: Callable[[str], bool]) -> bool:
    """Whether a column's words are few, and one of them is known."""
    return len(words) <= MOST_WORDS and any(map(known, words))
