"""Options that several commands take alike."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from pseudohealthy.catalogue.methods import METHODS, MethodName
from pseudohealthy.errors import InputError

# A path that may not be read gets the one line of whatever opens it, not typer's box
path_argument, path_option = partial(typer.Argument, readable=False), partial(typer.Option, readable=False)
Preset = Literal["midl2019", "media2020", "default"]


def _to_write_to(out: Path) -> Path:
    """`out`, unless a file is in its place or in that of a folder above it."""
    nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"--out {out}: {nearest} is a file; expected a folder, so choose another")
    return out


Folder = Annotated[Path, path_option("--out", "-o", help="Folder to write to.", callback=_to_write_to)]
METHOD_HELP = "; ".join(f"`{name}`: {entry.summary}" for name, entry in METHODS.items())
MethodOption = Annotated[
    MethodName | None, typer.Option(help=f"{METHOD_HELP}. Default: the file's, else paired.")
]
PRESETS = "`midl2019` is the paper's recipe, `media2020` its journal version's, `default` ours."
PresetOption = Annotated[Preset, typer.Option(help=PRESETS)]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated.")
]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: cuda where there is one.")]
BackendOption = Annotated[
    Literal["auto", "torch", "onnxruntime", "openvino"],
    typer.Option(
        help="What runs the networks; auto: on a CPU the fastest that is installed, for slices enough or "
        "with the weights in the package."
    ),
]
KeepHeaderTextOption = Annotated[
    bool,
    typer.Option(
        "--keep-header-text",
        help="Let the images hold the texts and extensions of the input's header, which may name people. "
        "Default: its grid and units alone.",
    ),
]
UncertaintyOption = Annotated[
    bool,
    typer.Option(
        "--uncertainty",
        help="Also a map of how far the healthy image may be off, and intervals of the lesion's volume; "
        "takes three times as long.",
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]


def words_of(given: str | None) -> list[str]:
    """The words between commas; none where nothing was given.

    Raises:
        InputError: there are commas and blanks alone.
    """
    words = [word.strip() for word in (given or "").split(",") if word.strip()]
    if given is not None and not words:
        raise InputError(f"--controls {given!r}: expected words with commas, such as HC,control")
    return words


def expect_jobs_or_dask(jobs: int | None, dask: str | None) -> None:
    """Refuse both of them with an `InputError`."""
    if jobs and dask:
        raise InputError("--jobs and --dask: expected one of them; Dask has the workers that were started")
