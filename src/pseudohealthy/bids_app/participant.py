"""One subject's images processed; what fails is recorded and stops nothing else."""

from __future__ import annotations

import functools
import platform
import time
from collections.abc import Mapping
from pathlib import Path

from pseudohealthy.bids_app.job import Job
from pseudohealthy.bids_app.output_dataset import DESCRIPTION, uri
from pseudohealthy.bids_app.records import (
    InputFingerprint,
    Record,
    as_name,
    failure_record,
    failure_records,
    find_name_clash,
    machine,
    outputs_of,
    read_record,
    remove_record,
    subject_lock,
    write_if_possible,
)
from pseudohealthy.bids_app.selection import Subject, mask_of
from pseudohealthy.errors import InputError, PseudohealthyError, printable
from pseudohealthy.files import sha256_of
from pseudohealthy.synthesis.backends import Choice
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.output_files import output_stem, refuse_existing
from pseudohealthy.synthesis.synthesize import synthesize


def process_subject(subject: Subject, job: Job) -> list[Record]:
    """Process all images of a subject, and write a record of each; finished ones are skipped.

    It raises nothing. While another run is at work on the subject, this one waits.

    Returns:
        A record for each image; for a subject without an image one that says so.
    """
    if not subject.images:
        return [_without_image(subject, job)]
    try:
        _check_paths(job)
        with subject_lock(job.out, subject.label):
            remove_record(job.out, subject.label)
            return [_process_image(subject, image, job) for image in subject.images]
    except (PseudohealthyError, OSError) as error:
        return failure_records(subject, error, job)


def load_model(job: Job) -> Model:
    """The model of a job, loaded once a process.

    Raises:
        InputError: the weights cannot be used here, or are others than on the machine that began the run.
    """
    return _model(job.weights, job.device, job.backend, job.sha256)


@functools.cache
def _model(weights: Path, device: str, backend: Choice, sha256: str) -> Model:
    """Cached by the digest too: a worker may live long, and the folder may hold other weights by then."""
    model = Model.load(weights, device, backend)
    if model.provenance["sha256"] != sha256:
        raise InputError(f"{weights}: other weights on {platform.node()} than where the run was begun")
    return model


def _without_image(subject: Subject, job: Job) -> Record:
    label = printable(subject.label)
    record = Record(
        subject=label,
        image=None,
        status="no_image",
        reason=f"no FLAIR image; expected {label}/[ses-*/]anat/{label}_*FLAIR.nii.gz",
        machine=machine(),
    )
    write_if_possible(job.out, record)
    return record


def _process_image(subject: Subject, image: str, job: Job) -> Record:
    began = time.perf_counter()
    try:
        _check_name(subject, image)
        masks = _masks(image, job)
        fingerprint = _fingerprint(image, masks, job)
        before = read_record(job.out, image)
        if before and before.made_from and before.is_complete(job.out) and not job.overwrite:
            return _skipped(before, fingerprint, job)
        warnings = _write_outputs(image, masks, job)
        record = Record(
            subject=printable(subject.label),
            image=printable(image),
            status="done",
            warnings=warnings,
            made_from=fingerprint,
            files=outputs_of(printable(image), blend=job.blend, uncertainty=job.uncertainty),
            seconds=round(time.perf_counter() - began, 3),
            machine=machine(),
        )
        record.write(job.out)
    except Exception as error:  # an error of any kind in one image must not stop the others
        return failure_record(subject, image, error, job, seconds=time.perf_counter() - began)
    return record


def _masks(image: str, job: Job) -> dict[str, Path]:
    """The user's masks of an image, by the argument of `synthesize` that takes them."""
    masks: dict[str, Path] = {}
    if job.brain_masks:
        masks["brain_mask"] = mask_of("brain", job.brain_masks, image)
    if job.lesion_masks:
        masks["lesion_mask"] = mask_of("lesion", job.lesion_masks, image)
    return masks


def _fingerprint(image: str, masks: Mapping[str, Path], job: Job) -> InputFingerprint:
    return InputFingerprint(
        input=_sha256(job.bids / image),
        weights=job.sha256,
        blend=job.blend,
        uncertainty=job.uncertainty,
        header_text=job.keep_header_text,
        **{kind: _sha256(path) for kind, path in masks.items()},
    )


def _write_outputs(image: str, masks: Mapping[str, Path], job: Job) -> tuple[str, ...]:
    """Write the files of an image, in place of an earlier run's; returns its warnings, a line each.

    Raises:
        InputError: they would take the place of another image's, or the image cannot be used.
    """
    clash = find_name_clash(job.out, image)
    if clash and not job.overwrite:
        raise InputError(
            f"{image}: {clash.name}, which is no longer in the data set, was finished under the same names; "
            f"give --overwrite to replace it, or another OUT_DIR than {job.out}"
        )
    place = Path(image)
    folder = job.out / place.parent
    refuse_existing(folder, place.name, overwrite=True, inputs=masks.values())
    brain, lesion = masks.get("brain_mask"), masks.get("lesion_mask")
    result = synthesize(
        job.bids / image,
        load_model(job),
        brain_mask=brain,
        lesion_mask=lesion,
        blend=job.blend,
        uncertainty=job.uncertainty,
    )
    for old in (image, *([as_name(clash.name)] if clash else [])):
        remove_record(job.out, old)  # a run that is killed while it saves must leave none that says "done"
    result.save(
        folder,
        place.name,
        overwrite=True,
        keep_header_text=job.keep_header_text,
        sources=_sources(image, masks, job),
        title=printable(image),
    )
    return tuple(printable(" ".join(warning.split())) for warning in result.warnings)


def _sources(image: str, masks: Mapping[str, Path], job: Job) -> dict[str, str]:
    """What an image was made from: BIDS URIs, or a file's name where it lies outside the data set."""
    sources = {"image": uri(printable(image))}
    for kind, mask in masks.items():
        inside = mask.is_relative_to(job.bids)
        sources[kind] = (
            uri(printable(mask.relative_to(job.bids).as_posix())) if inside else printable(mask.name)
        )
    return sources


def _skipped(before: Record, requested: InputFingerprint, job: Job) -> Record:
    """The earlier record if it was made from the same inputs; else a failure, which is not written."""
    assert before.made_from is not None
    if before.made_from == requested:
        return before.model_copy(update={"status": "skipped"})
    reason = (
        f"{before.image}: finished, but with {requested.differences(before.made_from)}; give --overwrite to "
        f"replace it, or another OUT_DIR than {printable(job.out)}"
    )
    return before.model_copy(update={"status": "failed", "reason": reason})


def _check_paths(job: Job) -> None:
    """Another machine may not see the same folders, and would write its results where nobody looks."""
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
    return sha256_of(path)
