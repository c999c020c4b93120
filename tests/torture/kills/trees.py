"""What folders hold, so that it can be compared; and files that are half written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from pseudohealthy.files import sha256_of

# What no two runs have in common: in JSON the values of these keys, in tables these columns, in text times
VARYING = ("seconds", "seconds_a_slice", "hours", "commit", "commits", "machine")
TIME = re.compile(
    r"<tr><th scope=.row.>seconds\b.*?</tr>"
    r"|\b(cpu|[0-9a-f]{40}(-dirty)?)( \||</td>)\s*(<td[^>]*>)?\s*[0-9.e-]+"  # hours, seconds of a step
    r"|\b[0-9.]+ (s|min|h)\b",
    re.DOTALL,
)
APPENDED = ("metrics.jsonl", "log.txt")  # line by line; readers leave out a half one
HALF = re.compile(r"\..*part.*|\..*\.lock|\..*\.unfinished")  # names of what is not whole
LOGS = ("log.txt",)  # of messages, which tell how often a step was begun

Tree = dict[str, object]


def files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in order."""
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of everything below a folder."""
    return {
        str(path.relative_to(folder)): (stat.st_size if path.is_file() else 0, stat.st_mtime_ns)
        for path in folder.rglob("*")
        for stat in [path.stat()]
    }


def tree(folder: Path) -> Tree:
    """What every file and folder below a folder holds, less what no two runs have in common."""
    return {
        str(path.relative_to(folder)): "folder" if path.is_dir() else content(path)
        for path in sorted(folder.rglob("*"))
    }


def without_locks(tree: Tree) -> Tree:
    """Less the free lock that may lie beside what is complete: who refuses to do it again takes no lock."""
    return {name: content for name, content in tree.items() if not name.endswith(".lock")}


def differences(expected: Tree, found: Tree) -> list[str]:
    """In words; none: there are none. Only a step that is done beside others has a log."""
    expected, found = (
        {name: each for name, each in part.items() if Path(name).name not in LOGS}
        for part in (expected, found)
    )
    missing = [f"{name} is missing" for name in expected.keys() - found.keys()]
    more = [f"{name} is left over" for name in found.keys() - expected.keys()]
    other = [f"{name} differs" for name in expected.keys() & found.keys() if expected[name] != found[name]]
    return sorted(missing) + sorted(more) + sorted(other)


def content(path: Path) -> object:
    """What a file holds, less what no two runs have in common; a digest where nothing is left out."""
    if path.name in LOGS:
        return "messages"
    if any(part.startswith(".part-") for part in path.parts):  # half written
        return sha256_of(path)
    readers: Mapping[str, Callable[[Path], object]] = {
        ".json": lambda path: without_varying(json.loads(path.read_text(encoding="utf-8"))),
        ".pt": lambda path: without_varying(plain(torch.load(path, weights_only=True))),
        ".tsv": _table,
        ".html": lambda path: _without_times(path.read_text(encoding="utf-8")),
        ".md": lambda path: _without_times(path.read_text(encoding="utf-8")),
    }
    try:
        return readers.get(path.suffix, sha256_of)(path)
    except (ValueError, RuntimeError, EOFError):  # half written
        return sha256_of(path)


def _without_times(text: str) -> str:
    return hashlib.sha256(TIME.sub("", text).encode()).hexdigest()


def without_varying(value: Any) -> Any:
    """A value less those of `VARYING`, at any depth."""
    if isinstance(value, dict):
        return {key: without_varying(each) for key, each in value.items() if key not in VARYING}
    return [without_varying(each) for each in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Tensors as bytes, so that `==` compares them."""
    if isinstance(value, torch.Tensor):
        return (
            str(value.dtype),
            tuple(value.shape),
            value.contiguous().view(-1).view(torch.uint8).numpy().tobytes(),
        )
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def _table(path: Path) -> object:
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    return table.drop(columns=[name for name in VARYING if name in table]).to_dict("split")


def half_written(path: Path) -> str:
    """Why a file is not whole; "": it is."""
    if path.name in APPENDED:
        return ""
    readers: Mapping[str, Callable[[Path], object]] = {
        ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
        ".yaml": lambda path: yaml.safe_load(path.read_text(encoding="utf-8"))["settings"],
        ".pt": partial(torch.load, weights_only=True),
        ".npy": np.load,
        ".npz": lambda path: dict(np.load(path)),
        ".safetensors": load_file,
        ".png": lambda path: Image.open(path).load(),
        ".gz": lambda path: np.asarray(nib.load(path).dataobj),
        ".html": partial(_ends, b"</html>"),
        ".tsv": partial(_ends, b"\n"),
        ".md": partial(_ends, b"\n"),
        ".tex": partial(_ends, b"\n"),
        ".onnx": _onnx,
    }
    read = readers.get(path.suffix, Path.read_bytes)
    try:
        read(path)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _ends(end: bytes, path: Path) -> None:
    if not path.read_bytes().rstrip(b" ").endswith((end, end + b"\n")):
        raise ValueError(f"does not end with {end!r}")


def _onnx(path: Path) -> None:
    import onnx

    onnx.checker.check_model(str(path))
