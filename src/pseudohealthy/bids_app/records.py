"""What became of each image: a small JSON file for each, so that many machines can write at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from pseudohealthy.bids_app.selection import Subject, session
from pseudohealthy.data.layouts import stem
from pseudohealthy.errors import InputError, PseudohealthyError, printable
from pseudohealthy.files import make_folder, write_json, write_tsv
from pseudohealthy.json_files import read_json
from pseudohealthy.locks import locked
from pseudohealthy.synthesis.output_files import output_files, with_sidecars

if TYPE_CHECKING:
    from pseudohealthy.bids_app.job import Job

LOGS = "logs"
TABLE = "status.tsv"
LONGEST = 200  # bytes of an image's name; the record of a longer one is named by its digest


class InputFingerprint(BaseModel):
    """What decides whether finished outputs are the requested ones: SHA-256 of the inputs, and options.

    Earlier versions, which do not say so, kept the text of the header.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str
    weights: str
    blend: bool
    uncertainty: bool = False
    brain_mask: str | None = None
    lesion_mask: str | None = None
    header_text: bool = True

    def differences(self, other: InputFingerprint) -> str:
        """How `other` differs, in words."""
        words = {
            "input": "another input",
            "weights": "other weights",
            "blend": f"{'' if other.blend else 'no '}--blend",
            "uncertainty": f"{'' if other.uncertainty else 'no '}--uncertainty",
            "brain_mask": "another brain mask" if self.brain_mask else "a brain mask",
            "header_text": f"{'' if other.header_text else 'no '}--keep-header-text",
            "lesion_mask": "another lesion mask" if self.lesion_mask else "a lesion mask",
        }
        return ", ".join(word for key, word in words.items() if getattr(self, key) != getattr(other, key))


class Record(BaseModel):
    """What became of one image, or of a subject that has none.

    Names are text as `printable` gives it, the same whatever the locale of the machine that writes or reads.

    Attributes:
        subject: `sub-01`.
        image: its path in the data set; None for a subject without an image.
        status: `done`, `skipped` (an earlier run finished it), `no_image` (there is none), or `failed`.
        reason: one line, where there was no image or it failed.
        warnings: what a person should know before using the images; a line each.
        trace: the traceback, if the failure was not foreseen.
        made_from: the inputs of the outputs; None where there are none.
        files: the outputs' paths inside OUT_DIR, by what they are.
        seconds: that it took.
        machine: `host:process` that processed it.
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
    def is_consistent(self) -> bool:
        """Whether it names no other files than its image's own, and all of them where it is done."""
        if self.image is None or self.made_from is None or self.status == "failed":
            return self.status not in ("done", "skipped") and not self.files
        made = self.made_from
        return self.files == outputs_of(self.image, blend=made.blend, uncertainty=made.uncertainty)

    def is_complete(self, out: Path) -> bool:
        """Whether it is done and all its files are there."""
        return (
            self.status == "done"
            and self.is_consistent
            and all(map(os.path.isfile, self.paths(out).values()))
        )

    def paths(self, out: Path) -> dict[str, Path]:
        """The files in `out`, by what they are."""
        return {kind: out / as_name(path) for kind, path in self.files.items()}

    def write(self, out: Path) -> None:
        """Write it into `out`, in place of one under the name that earlier versions gave it.

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


def outputs_of(image: str, *, blend: bool, uncertainty: bool = False) -> dict[str, str]:
    """Paths inside OUT_DIR of all that is made of an image, sidecars too, by what they are."""
    place = Path(image)
    files = with_sidecars(output_files(place.parent, place.name, blend=blend, uncertainty=uncertainty))
    return {kind: path.as_posix() for kind, path in files.items()}


def read_record(out: Path, name: str) -> Record | None:
    """The record of an image or subject by its `name`; None where there is no sound one."""
    for path in (_path(out, name), _old_path(out, name)):
        record = _read(path)
        if record and record.is_consistent and _is_of(record, name):
            return record
    return None


def find_name_clash(out: Path, image: str) -> Record | None:
    """The record of another, finished image whose outputs have the same names; None where there is none."""
    folder, outputs = _path(out, image).parent, outputs_of(printable(image), blend=True)
    for path in (*sorted(folder.glob("*.json")), _old_path(out, image)):
        record = _read(path)
        if record is None or record.image in (None, printable(image)) or not record.is_complete(out):
            continue
        if record.image and outputs_of(record.image, blend=True) == outputs:
            return record
    return None


def records(out: Path, subjects: Sequence[Subject]) -> dict[str, Record | None]:
    """The record of each image, or of the subject where it has none; None where it was not tried yet.

    Returns:
        By the image's path in the data set, else the subject, as `printable` text.
    """
    names = [name for subject in subjects for name in subject.images or (subject.label,)]
    return {printable(name): read_record(out, name) for name in names}


def without_record(out: Path, name: str) -> str:
    """Why an image or subject has no record, in words."""
    old = next((record for path in (_path(out, name), _old_path(out, name)) if (record := _read(path))), None)
    if old and old.status == "skipped" and old.image is None:
        return "recorded by version 0.1; run the level participant again"
    return "not tried yet"


def write_status_table(out: Path, subjects: Sequence[Subject]) -> Path:
    """`logs/status.tsv`: a row for each image, with what became of it and why; returns the file.

    Raises:
        PseudohealthyError: the disk is full.
    """
    make_folder(out / LOGS)
    path = out / LOGS / TABLE
    with locked(out / LOGS / ".status.lock"):  # no other run's rows are read and then written too late
        table = pd.DataFrame([_row(out, name, record) for name, record in records(out, subjects).items()])
        write_tsv(path, table, float_format="%.1f")
    return path


@contextlib.contextmanager
def subject_lock(out: Path, subject: str) -> Iterator[None]:
    """Be the only run that processes a subject in `out`, on whatever machine; another one waits.

    Raises:
        PseudohealthyError: `out` cannot be written to.
    """
    make_folder(out / LOGS)
    with locked(out / LOGS / f".{subject}.lock", subject):
        yield


def remove_record(out: Path, name: str) -> None:
    """Remove the record of an image or subject, if there is one."""
    for path in (_path(out, name), _old_path(out, name)):
        if _is_of(_read(path), name):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def write_if_possible(out: Path, record: Record) -> None:
    """Write a record of a failure, or do without: the disk may be what failed, or `out` not be there."""
    if out.is_dir():
        with contextlib.suppress(PseudohealthyError):
            record.write(out)


def failure_records(subject: Subject, error: Exception, job: Job) -> list[Record]:
    """The records of a subject none of whose images could be tried, such as for a worker that died.

    An image that an earlier run finished keeps the record that says so.
    """
    records = []
    for image in subject.images or (None,):
        before = read_record(job.out, image) if image else None
        if before and before.is_complete(job.out):
            reason = printable(" ".join(str(error).split()))
            records.append(before.model_copy(update={"status": "failed", "reason": reason}))
        else:
            records.append(failure_record(subject, image, error, job))
    return records


def failure_record(
    subject: Subject, image: str | None, error: Exception, job: Job, *, seconds: float = 0.0
) -> Record:
    """A record of the failure; it is written unless an earlier run finished the image."""
    foreseen = isinstance(error, PseudohealthyError | OSError)
    words = printable(" ".join(str(error).split()))
    lines = [] if foreseen else "".join(traceback.format_exception(error)).splitlines()
    record = Record(
        subject=printable(subject.label),
        image=image and printable(image),
        status="failed",
        reason=words if foreseen and words else f"{type(error).__name__}: {words}",
        trace="".join(f"{printable(line)}\n" for line in lines),
        seconds=round(seconds, 3),
        machine=machine(),
    )
    before = read_record(job.out, image) if image and not job.overwrite else None
    if not (before and before.is_complete(job.out)):
        write_if_possible(job.out, record)
    return record


def machine() -> str:
    """`host:process` of this process."""
    return f"{platform.node()}:{os.getpid()}"


def _row(out: Path, name: str, record: Record | None) -> dict[str, object]:
    is_image = "/" in name
    return {
        "participant_id": name.partition("/")[0],
        "session_id": (session(name) if is_image else None) or "n/a",
        "image": name if is_image else "n/a",
        "status": record.status if record else without_record(out, name),
        "reason": printable(record.reason.replace("\t", " ")) if record and record.reason else "n/a",
        "seconds": record.seconds if record else None,
        "machine": record.machine if record and record.machine else "n/a",
        "warnings": "; ".join(record.warnings) if record and record.warnings else "n/a",
    }


def _path(out: Path, name: str) -> Path:
    """The record's file, under the image's whole path: images in two folders may have one name."""
    place = Path(as_name(printable(name)))
    encoded = os.fsencode(place.name)
    short = place.name if len(encoded) <= LONGEST else hashlib.sha256(encoded).hexdigest()
    return out / LOGS / place.parent / f"{short}.json"


def _old_path(out: Path, name: str) -> Path:
    """Where earlier versions wrote it: under the image's name alone, which several images may have."""
    return out / LOGS / f"{stem(Path(name))}.json"


def _read(path: Path) -> Record | None:
    try:
        return Record.model_validate(read_json(path))
    except (InputError, ValidationError):
        return None


def _is_of(record: Record | None, name: str) -> bool:
    return record is not None and record.name == printable(name)
