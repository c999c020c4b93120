"""JSON files, the program's own or a stranger's: strict, and read within stated limits."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pseudohealthy.errors import InputError
from pseudohealthy.files import MEGABYTE, read_text

LARGEST_JSON = 64 * MEGABYTE
DEEPEST_JSON = 50  # levels of lists and mappings
LARGEST_INTEGER = 2**63
LONGEST_KEY = 80  # characters that a message shows
TOO_DEEP = f"nested more than {DEEPEST_JSON} levels deep"
JSON_NAMES: Mapping[type, str] = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}
Kind = type | tuple[type, ...]


def read_json(
    path: Path,
    problem: str = "cannot be read",
    remedy: str = "write it again",
    *,
    where: Path | None = None,
) -> dict[str, Any]:
    """Read a mapping of strict JSON, as `write_json` writes it.

    Args:
        path: of the file.
        problem: what an error message begins with, after the path.
        remedy: what it ends with: what a person should do.
        where: the path that a person gave, if not that of the file.

    Raises:
        InputError: no such file, too large, not JSON, not a mapping, nested too deeply, with a key that is
            there twice, or with a number that is not finite or has more digits than 64 bits hold.
    """
    try:
        values = parse_json(read_text(path, LARGEST_JSON))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{where or path}: {problem} ({reason}); {remedy}") from error
    return values


def expect_parts(path: Path, values: Mapping[str, Any], parts: Mapping[str, Kind], remedy: str) -> None:
    """Refuse a file whose values lack a part, or have another kind of value there.

    Args:
        path: of the file.
        values: what was read.
        parts: the type or types of each part by its name.
        remedy: what a person should do.

    Raises:
        InputError: it names the first such part and what is there.
    """
    for name, kind in parts.items():
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if name not in values:
            raise InputError(f"{path}: incomplete, {name} is missing; {remedy}")
        if type(values[name]) not in kinds:
            found, expected = JSON_NAMES[type(values[name])], JSON_NAMES[kinds[0]]
            raise InputError(f"{path}: incomplete, {name} is {found}, expected {expected}; {remedy}")


def parse_json(text: str) -> dict[str, Any]:
    """A mapping of strict JSON.

    Raises:
        ValueError: it is none; the message is the reason, as for `read_json`.
    """
    try:
        values = json.loads(
            text,
            object_pairs_hook=_mapping,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}" if text.strip() else "it is empty") from error
    if not isinstance(values, dict):
        raise ValueError(f"expected a mapping, found {JSON_NAMES[type(values)]}")  # noqa: TRY004
    level: list[Any] = [values]
    for _ in range(DEEPEST_JSON):
        level = [inner for each in level for inner in _children(each)]
    if level:
        raise ValueError(TOO_DEEP)
    return values


def _children(values: Any) -> Iterable[Any]:
    if isinstance(values, dict):
        return values.values()
    return values if isinstance(values, list) else ()


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {json.dumps(twice[:LONGEST_KEY])} is there twice; remove one")
    return values


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) < 21 else LARGEST_INTEGER
    if abs(value) >= LARGEST_INTEGER:
        raise ValueError(f"a number of {len(digits)} digits, expected one of 64 bits")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is not a finite number")
    return value
