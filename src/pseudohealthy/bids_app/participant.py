"""Every image of a subject healed; what fails is told and stops nothing else."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import shutil
import time
import traceback
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch

from pseudohealthy.bids_app.output_dataset import DESCRIPTION, uri
from pseudohealthy.bids_app.records import (
    InputFingerprint,
    Record,
    as_name,
    at_work_on,
    forget,
    keep,
    namesake,
    outputs_of,
    read_record,
)
from pseudohealthy.bids_app.selection import Subject, mask_of
from pseudohealthy.errors import InputError, PseudohealthyError, printable
from pseudohealthy.processes import processes
from pseudohealthy.synthesis.backends import Choice
from pseudohealthy.synthesis.bundled_weights import provenance
from pseudohealthy.synthesis.model import Model, device_of
from pseudohealthy.synthesis.naming import output_stem, refuse_existing
from pseudohealthy.synthesis.synthesize import synthesize

MEMORY = 5 * 2**29  # bytes for a process: a head that is stripped takes nine tenths of it, other volumes half


@dataclass(frozen=True)
class Job:
    """What is the same for every subject of a run. It travels to other machines, so its paths are absolute.

    Attributes:
        bids: the data set, which is only read.
        out: the derivatives' folder, described already.
        weights: a weights folder.
        sha256: of the weights.
        device: "cpu", "cuda" or "auto".
        blend: make the image in which only the lesion changes, too.
        overwrite: do finished images again.
        brain_masks: derivatives with a brain mask for each image; None: the image is looked at.
        lesion_masks: derivatives with a lesion mask for each image, for the blend; None: S's.
        backend: what runs the networks, as `Model.load` takes it.
    """

    bids: Path
    out: Path
    weights: Path
    sha256: str
    device: str = "auto"
    blend: bool = False
    overwrite: bool = False
    brain_masks: Path | None = None
    lesion_masks: Path | None = None
    backend: Choice = "auto"

    @classmethod
    def of(
        cls,
        bids: Path,
        out: Path,
        weights: Path,
        *,
        device: str,
        blend: bool,
        overwrite: bool,
        brain_masks: Path | None = None,
        lesion_masks: Path | None = None,
        backend: Choice = "auto",
    ) -> Job:
        """A job on these folders.

        Raises:
            InputError: `weights` is not a weights folder, there is no folder of masks, or lesion masks are
                given without the blend that they are for.
        """
        for option, folder in (("--brain-masks", brain_masks), ("--lesion-masks", lesion_masks)):
            if folder is not None and not folder.is_dir():
                raise InputError(f"{option} {folder}: no such folder; expected BIDS derivatives")
        if lesion_masks is not None and not blend:
            raise InputError(
                "--lesion-masks without the blend that they are for; add --blend, or leave it out"
            )
        sha256 = provenance(weights)["sha256"]
        brains, lesions = (folder and folder.resolve() for folder in (brain_masks, lesion_masks))
        return cls(
            bids.resolve(),
            out.resolve(),
            weights.resolve(),
            sha256,
            device,
            blend,
            overwrite,
            brains,
            lesions,
            backend,
        )


def run_serial(subjects: Iterable[Subject], job: Job) -> Generator[list[Record], None, None]:
    """Heal one subject after the other in this process.

    Raises:
        InputError: before the first of them, weights, a device or a backend that cannot be used.
    """
    _model(job.weights, job.device, job.backend, job.sha256)
    for subject in subjects:
        yield process_subject(subject, job)


def run_pool(subjects: Sequence[Subject], job: Job, jobs: int) -> Generator[list[Record], None, None]:
    """Heal `jobs` subjects at once, in processes of their own, in the order in which they get done.

    While one of them reads and writes, the others compute.

    Raises:
        InputError: before the first of them, weights, a device or a backend that cannot be used.
    """
    _model(job.weights, job.device, job.backend, job.sha256)
    with processes(min(jobs, len(subjects))) as pool:
        futures = {pool.submit(process_subject, subject, job): subject for subject in subjects}
        lost = []
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:  # whoever it was, all that were waiting are told so
                lost.append(futures[future])
    for subject in lost:
        yield _process_alone(subject, job)


def _process_alone(subject: Subject, job: Job) -> list[Record]:
    """Heal a subject in a process that ends with it, so that it is known whose fault it was."""
    with processes(1) as pool:
        try:
            return pool.submit(process_subject, subject, job).result()
        except BrokenProcessPool:
            error = PseudohealthyError(
                "the process was ended from outside, perhaps for lack of memory; the same command goes on "
                "where it was, with a smaller --jobs if it happens again"
            )
            return failure_records(subject, error, job)


def jobs_for(subjects: int, device: str) -> int:
    """How many subjects are best healed at once: one a core and 2.5 GiB of memory; on a graphics card one."""
    if device_of(device).type != "cpu":
        return 1
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else MEMORY
    return max(1, min(subjects, torch.get_num_threads(), min(physical, *memory_limits()) // MEMORY))


def memory_limits(root: Path = Path("/")) -> list[int]:
    """Bytes that the container or cluster job that this process is in may use (Linux' control groups).

    Args:
        root: of the file system.

    Returns:
        A limit of each group, of version 1 or 2, from the process's own to the outermost; none elsewhere.
    """
    try:
        groups = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return []
    tops = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}
    limits = []
    for _, kind, where in groups:
        if kind not in tops:
            continue
        folder, name = tops[kind]
        group = Path(where.lstrip("/"))
        for each in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # a group without a limit says "max"
                limits.append(int((root / "sys/fs/cgroup" / folder / each / name).read_text()))
    return limits


def process_subject(subject: Subject, job: Job) -> list[Record]:
    """Heal all images of a subject, and leave a record of each; finished ones are kept. It raises nothing.

    While another run is at work on the subject, this one waits.

    Returns:
        A record for each image; one that says so for a subject that has none.
    """
    if not subject.images:
        return [_skipped(subject, job)]
    try:
        _check_paths(job)
        with at_work_on(job.out, subject.label):
            forget(job.out, subject.label)
            return [_heal(subject, image, job) for image in subject.images]
    except (PseudohealthyError, OSError) as error:
        return failure_records(subject, error, job)


def _skipped(subject: Subject, job: Job) -> Record:
    label = printable(subject.label)
    record = Record(
        subject=label,
        image=None,
        status="no_image",
        reason=f"no FLAIR image; expected {label}/[ses-*/]anat/{label}_*FLAIR.nii.gz",
        machine=_machine(),
    )
    keep(job.out, record)
    return record


def failure_records(subject: Subject, error: Exception, job: Job) -> list[Record]:
    """The records of a subject none of whose images could be tried, such as for a machine that was lost.

    An image that an earlier run finished keeps the record that says so.
    """
    records = []
    for image in subject.images or (None,):
        before = read_record(job.out, image) if image else None
        if before and before.finished(job.out):
            reason = printable(" ".join(str(error).split()))
            records.append(before.model_copy(update={"status": "failed", "reason": reason}))
        else:
            records.append(_failed(subject, image, error, 0.0, job))
    return records


def _heal(subject: Subject, image: str, job: Job) -> Record:
    began = time.perf_counter()
    try:
        _check_name(subject, image)
        masks: dict[str, Path] = {}
        if job.brain_masks:
            masks["brain_mask"] = mask_of("brain", job.brain_masks, image)
        if job.lesion_masks:
            masks["lesion_mask"] = mask_of("lesion", job.lesion_masks, image)
        made_from = InputFingerprint(
            input=_sha256(job.bids / image),
            weights=job.sha256,
            blend=job.blend,
            brain_mask=_sha256(masks["brain_mask"]) if "brain_mask" in masks else None,
            lesion_mask=_sha256(masks["lesion_mask"]) if "lesion_mask" in masks else None,
        )
        before = read_record(job.out, image)
        if before and before.made_from and before.finished(job.out) and not job.overwrite:
            return _kept(before, made_from, job)
        warnings = _make(image, masks, job)
        record = Record(
            subject=printable(subject.label),
            image=printable(image),
            status="done",
            warnings=warnings,
            made_from=made_from,
            files=outputs_of(printable(image), blend=job.blend),
            seconds=round(time.perf_counter() - began, 3),
            machine=_machine(),
        )
        record.write(job.out)
    except Exception as error:  # one image's fault, of whatever kind, must not stop the others
        return _failed(subject, image, error, time.perf_counter() - began, job)
    return record


def _make(image: str, masks: Mapping[str, Path], job: Job) -> tuple[str, ...]:
    """Write the files of an image, in place of an earlier run's; returns the warnings of it, a line each.

    Raises:
        InputError: they would take the place of another image's, or the image cannot be used.
    """
    other = namesake(job.out, image)
    if other and not job.overwrite:
        raise InputError(
            f"{image}: {other.name}, which is no longer in the data set, was finished under the same names; "
            f"give --overwrite to replace it, or another OUT_DIR than {job.out}"
        )
    place = Path(image)
    folder = job.out / place.parent
    for left in folder.glob(".part-*"):  # a killed run's
        shutil.rmtree(left, ignore_errors=True)
    refuse_existing(folder, place.name, overwrite=True, inputs=masks.values())
    model = _model(job.weights, job.device, job.backend, job.sha256)
    brain, lesion = masks.get("brain_mask"), masks.get("lesion_mask")
    result = synthesize(job.bids / image, model, brain_mask=brain, lesion_mask=lesion, blend=job.blend)
    sources = {"image": uri(printable(image))}
    for kind, mask in masks.items():
        inside = mask.is_relative_to(job.bids)
        sources[kind] = (
            uri(printable(mask.relative_to(job.bids).as_posix())) if inside else printable(mask.name)
        )
    for old in (image, *([as_name(other.name)] if other else [])):
        forget(job.out, old)  # killed among the files that follow, a run must leave none that says "done"
    result.save(folder, place.name, overwrite=True, sources=sources, title=printable(image))
    return tuple(printable(" ".join(warning.split())) for warning in result.warnings)


def _kept(before: Record, wanted: InputFingerprint, job: Job) -> Record:
    """The record as it was, if it is of what is asked for now; else a failure, which is not written down."""
    assert before.made_from is not None
    if before.made_from == wanted:
        return before.model_copy(update={"status": "skipped"})
    reason = (
        f"{before.image}: finished, but with {wanted.unlike(before.made_from)}; give --overwrite to replace "
        f"it, or another OUT_DIR than {printable(job.out)}"
    )
    return before.model_copy(update={"status": "failed", "reason": reason})


def _failed(subject: Subject, image: str | None, error: Exception, seconds: float, job: Job) -> Record:
    """A record of the failure, which is written down unless what an earlier run finished stands."""
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
        machine=_machine(),
    )
    before = read_record(job.out, image) if image and not job.overwrite else None
    if not (before and before.finished(job.out)):
        keep(job.out, record)
    return record


def _check_paths(job: Job) -> None:
    """Another machine may not see the same folders, and would leave its results where nobody finds them."""
    for path in (job.bids, job.out / DESCRIPTION):
        if not path.exists():
            raise InputError(
                f"{platform.node()}: no {path} there; expected every machine to see the same folders"
            )


def _check_name(subject: Subject, image: str) -> None:
    if as_name(shown := printable(image)) != image:
        raise InputError(
            f"{shown}: its name is not printable text in UTF-8, as BIDS would have it; rename the file"
        )
    alike = [other for other in subject.images if _outputs(other) == _outputs(image)]
    if len(alike) > 1:
        raise InputError(f"{image}: {' and '.join(alike)} would give files of one name; expected one of them")
    if not Path(image).name.startswith(f"{subject.label}_"):
        raise InputError(
            f"{image}: its name is not one of {subject.label}'s; expected {subject.label}_*_FLAIR.nii.gz"
        )


def _outputs(image: str) -> Path:
    return Path(image).with_name(output_stem(Path(image).name))


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: a link to nothing, or a folder; expected a NIfTI file, so fetch it first")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def _model(weights: Path, device: str, backend: Choice, sha256: str) -> Model:
    """Loaded once a process, which may be a worker that lives long: other weights have another digest.

    Raises:
        InputError: they cannot be used here, or are others than those of the machine that asks.
    """
    model = Model.load(weights, device, backend)
    if model.provenance["sha256"] != sha256:
        raise InputError(f"{weights}: other weights on {platform.node()} than where the run was begun")
    return model


def _machine() -> str:
    return f"{platform.node()}:{os.getpid()}"
