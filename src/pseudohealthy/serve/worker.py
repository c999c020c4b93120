"""The process that does the work: requests and replies are lines of JSON on its standard input and output.

It ends with the server: when its input ends, however the server did, it removes the private folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import shutil
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pseudohealthy.errors import GIVE_BRAIN_MASK, InputError, PseudohealthyError, message

if TYPE_CHECKING:  # what takes seconds to import is imported once the server can end this process
    from pseudohealthy.dicom.read import Scan
    from pseudohealthy.synthesis.model import Model
    from pseudohealthy.synthesis.result import Synthesis

Reply = Callable[..., None]
READ, FOUND, PROCESSED = 0.05, 0.15, 0.85  # shares of the work that are done when a stage is
REMOVALS = 3


def main() -> None:
    """Serve requests until standard input ends.

    Its arguments are the server's private folder and a weights folder.
    """
    folder, weights = map(Path, sys.argv[1:])
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    replies = _private_output()
    threading.Thread(target=_listen, args=(sys.stdin, requests, folder), daemon=True).start()

    def reply(**values: Any) -> None:
        replies.write(json.dumps(values) + "\n")
        replies.flush()

    model: Model | None = None
    with contextlib.suppress(Exception):  # an error is told with the first image, which tries again
        model = _model(weights)
    while True:
        request = requests.get()
        try:
            reply(share=0.0, now="starting")
            model = model or _model(weights)
            reply(done=_work(request, model, reply))
        except BrokenPipeError:  # the server has ended; `_listen` cleans up
            threading.Event().wait()
        except Exception as error:
            reply(error=_line(error, Path(request["image"]).parent))


def _private_output() -> IO[str]:
    """Standard output for replies alone: what libraries print goes nowhere."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    return replies


def _listen(lines: IO[str], requests: queue.Queue[dict[str, Any]], folder: Path) -> None:
    for line in lines:
        requests.put(json.loads(line))
    for _ in range(REMOVALS):  # a file may be written meanwhile
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _model(weights: Path) -> Model:
    from pseudohealthy.synthesis.model import Model  # noqa: PLC0415

    return Model.load(weights, "auto", "auto")


def _work(request: dict[str, Any], model: Model, reply: Reply) -> dict[str, Any]:
    """Process one image, as the command `synthesize` does; returns what the page tells of it."""
    from pseudohealthy.serve.inputs import read_input  # noqa: PLC0415
    from pseudohealthy.synthesis.output_files import with_sidecars  # noqa: PLC0415
    from pseudohealthy.synthesis.synthesize import synthesize  # noqa: PLC0415

    def progress(done: int, total: int, now: str) -> None:
        found = now == "finding the brain"
        share = READ if found else FOUND + (PROCESSED - FOUND) * done / total
        reply(share=share, now=now)

    image, out = Path(request["image"]), Path(request["out"])
    reply(share=0.0, now="reading the image")
    volume, scan = read_input(image)
    options = {name: request[name] for name in ("blend", "uncertainty")}
    result = synthesize(volume, model, **options, progress=progress)
    reply(share=PROCESSED, now="writing the files")
    if scan:
        result = dataclasses.replace(result, report={**result.report, "dicom": scan.report})
    write, notes = _dicom(scan, result) if scan else (None, ())
    files = with_sidecars(result.save(out, scan.name if scan else image.name, dicom=write))
    return {
        "files": {kind: path.name for kind, path in files.items()},
        "lesion_ml": result.report["lesion_ml"],
        "interval": result.report.get("uncertainty", {}).get("lesion_ml_95"),
        "caveat": result.report["lesion_caveat"],
        "warnings": [*notes, *result.warnings],
    }


def _dicom(scan: Scan, result: Synthesis) -> tuple[Callable[[Path], object] | None, tuple[str, ...]]:
    """What writes the DICOM files, None where that cannot be done; and what to say of the series and them."""
    from pseudohealthy.dicom.output import expect_writable, write_dicom  # noqa: PLC0415

    number = "without number" if scan.report["number"] is None else scan.report["number"]
    series = f"series {number}, {scan.report['description'] or 'no description'}"
    said = (f"{series}: {scan.report['slices']} slices were taken", *scan.notes)
    try:
        expect_writable(scan)
    except InputError as error:
        return None, (*said, f"no DICOM was made ({str(error).removeprefix('--dicom: ')})")
    weights = result.report["weights"]
    return partial(write_dicom, scan, result.healthy, result.mask, weights=weights), said


def _line(error: Exception, folder: Path) -> str:
    """What the program says of an error, without the private folder in which the image lies."""
    if isinstance(error, PseudohealthyError | OSError | ImportError):
        text = message(error).replace(f"{folder}{os.sep}", "")
        # The page takes no mask
        return text.replace(GIVE_BRAIN_MASK, "strip it elsewhere, and upload the brain")
    if isinstance(error, MemoryError):
        return "the memory is not enough for this image; close other programs and try again"
    return message(f"an error of the program, please report it: {type(error).__name__}: {error}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
