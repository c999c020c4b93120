"""What became of each image: a small JSON file for each, so that many machines can write at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from pseudohealthy.bids_app.selection import Subject, session
from pseudohealthy.data.layouts import stem
from pseudohealthy.errors import PseudohealthyError, printable
from pseudohealthy.files import locked, make_folder, replace, write_json
from pseudohealthy.synthesis.naming import output_files, with_sidecars

LOGS = "logs"
TABLE = "status.tsv"
LONGEST = 200  # bytes of an image's name after which its record may be called


class InputFingerprint(BaseModel):
    """What decides whether outputs are those asked for: SHA-256 of what went in, and the products."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str
    weights: str
    blend: bool
    brain_mask: str | None = None
    lesion_mask: str | None = None

    def unlike(self, other: InputFingerprint) -> str:
        """In words, how `other` differs."""
        words = {
            "input": "another input",
            "weights": "other weights",
            "blend": f"{'' if other.blend else 'no '}--blend",
            "brain_mask": "another brain mask" if self.brain_mask else "a brain mask",
            "lesion_mask": "another lesion mask" if self.lesion_mask else "a lesion mask",
        }
        return ", ".join(word for key, word in words.items() if getattr(self, key) != getattr(other, key))


class Record(BaseModel):
    """What became of one image, or of a subject that has none.

    Names are text as `printable` gives it, the same whatever the locale of the machine that writes or reads.

    Attributes:
        subject: `sub-01`.
        image: its path in the data set; None for a subject without an image.
        status: `done` now, `kept` as it was done before, `skipped` for there was nothing to do, or `failed`.
        reason: one line, where it was skipped or failed.
        warnings: what a person should know before using the images; a line each.
        trace: where in the program, if the failure was not foreseen.
        made_from: None where it is not done.
        files: the outputs' paths inside OUT_DIR, by what they are.
        seconds: that it took.
        machine: `host:process` that did it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    image: str | None
    status: Literal["done", "skipped", "no_image", "failed"]
    reason: str = ""
    warnings: tuple[str, ...] = ()
    trace: str = ""
    made_from: InputFingerprint | None = None
    files: dict[str, str] = {}
    seconds: float = 0.0
    machine: str = ""

    @property
    def name(self) -> str:
        """What a person calls it: the image's path, else the subject."""
        return self.image or self.subject

    @property
    def sound(self) -> bool:
        """Whether it names no other files than its image's own, and all of them where it is done."""
        if self.image is None or self.made_from is None or self.status == "failed":
            return self.status not in ("done", "skipped") and not self.files
        return self.files == outputs_of(self.image, blend=self.made_from.blend)

    def finished(self, out: Path) -> bool:
        """Whether its whole set of files is there."""
        return self.status == "done" and self.sound and all(map(os.path.isfile, self.paths(out).values()))

    def paths(self, out: Path) -> dict[str, Path]:
        """The files in `out`, by what they are."""
        return {kind: out / as_name(path) for kind, path in self.files.items()}

    def write(self, out: Path) -> None:
        """Keep it in `out`, in place of one of the kind that earlier versions wrote.

        Raises:
            PseudohealthyError: the disk is full.
        """
        name = as_name(self.name)
        path = _path(out, name)
        make_folder(path.parent)
        write_json(path, self.model_dump())
        if (old := _old_path(out, name)) != path and _is_of(_read(old), name):
            with contextlib.suppress(OSError):
                old.unlink(missing_ok=True)


def as_name(text: str) -> str:
    """The name of a file, such as an image's path, whose `printable` text this is.

    Of a name that is not printable UTF-8 it is another one.
    """
    return os.fsdecode(text.encode("utf-8"))


def outputs_of(image: str, *, blend: bool) -> dict[str, str]:
    """Paths inside OUT_DIR of all that is made of an image, sidecars too, by what they are."""
    place = Path(image)
    files = with_sidecars(output_files(place.parent, place.name, blend=blend))
    return {kind: path.as_posix() for kind, path in files.items()}


def read_record(out: Path, name: str) -> Record | None:
    """The record of an image or subject by its `name`; None where there is no sound one."""
    for path in (_path(out, name), _old_path(out, name)):
        record = _read(path)
        if record and record.sound and _is_of(record, name):
            return record
    return None


def namesake(out: Path, image: str) -> Record | None:
    """The record of another image that is finished, and whose files have the names of this one's."""
    folder, wanted = _path(out, image).parent, outputs_of(printable(image), blend=True)
    for path in (*sorted(folder.glob("*.json")), _old_path(out, image)):
        record = _read(path)
        if record is None or record.image in (None, printable(image)) or not record.finished(out):
            continue
        if record.image and outputs_of(record.image, blend=True) == wanted:
            return record
    return None


def records(out: Path, subjects: Sequence[Subject]) -> dict[str, Record | None]:
    """The record of each image, or of the subject where it has none; None where it was not tried yet.

    Returns:
        By the image's path in the data set, else the subject, as `printable` text.
    """
    names = [name for subject in subjects for name in subject.images or (subject.label,)]
    return {printable(name): read_record(out, name) for name in names}


def write_table(out: Path, subjects: Sequence[Subject]) -> Path:
    """`logs/status.tsv`: a row for each image, with what became of it and why; returns the file.

    Raises:
        PseudohealthyError: the disk is full.
    """
    make_folder(out / LOGS)
    path = out / LOGS / TABLE
    with locked(out / LOGS / ".status.lock"):  # no other run's rows are read and then written too late
        table = pd.DataFrame([_row(name, record) for name, record in records(out, subjects).items()])
        replace(
            path, lambda part: table.to_csv(part, sep="\t", index=False, na_rep="n/a", float_format="%.1f")
        )
    return path


@contextlib.contextmanager
def at_work_on(out: Path, subject: str) -> Iterator[None]:
    """Be the only one who works on a subject in `out`, on whatever machine; another run waits for its turn.

    Raises:
        PseudohealthyError: `out` cannot be written to.
    """
    make_folder(out / LOGS)
    with locked(out / LOGS / f".{subject}.lock", subject):
        yield


def forget(out: Path, name: str) -> None:
    """Remove the record of an image or subject, if there is one."""
    for path in (_path(out, name), _old_path(out, name)):
        if _is_of(_read(path), name):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def keep(out: Path, record: Record) -> None:
    """Write a record of a failure, or do without it: the disk may be what failed, or `out` not there."""
    if out.is_dir():
        with contextlib.suppress(PseudohealthyError):
            record.write(out)


def _row(name: str, record: Record | None) -> dict[str, object]:
    is_image = "/" in name
    return {
        "participant_id": name.partition("/")[0],
        "session_id": (session(name) if is_image else None) or "n/a",
        "image": name if is_image else "n/a",
        "status": record.status if record else "not tried yet",
        "reason": printable(record.reason.replace("\t", " ")) if record and record.reason else "n/a",
        "seconds": record.seconds if record else None,
        "machine": record.machine if record and record.machine else "n/a",
        "warnings": "; ".join(record.warnings) if record and record.warnings else "n/a",
    }


def _path(out: Path, name: str) -> Path:
    """Where the record lies: under the image's whole path, for names alone need not differ."""
    place = Path(as_name(printable(name)))
    called = os.fsencode(place.name)
    short = place.name if len(called) <= LONGEST else hashlib.sha256(called).hexdigest()
    return out / LOGS / place.parent / f"{short}.json"


def _old_path(out: Path, name: str) -> Path:
    """Where earlier versions kept it: under the image's name, whose images might share one record."""
    return out / LOGS / f"{stem(Path(name))}.json"


def _read(path: Path) -> Record | None:
    try:
        return Record.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _is_of(record: Record | None, name: str) -> bool:
    return record is not None and record.name == printable(name)
