"""Settings from YAML files and `key=value` overrides, and what is said of a mistake in them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pseudohealthy.errors import InputError
from pseudohealthy.renamed import MIGRATE, gone, new_name

T = TypeVar("T", bound=BaseModel)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, group by group."""
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        out[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return out


def assignments(overrides: Iterable[str]) -> dict[str, Any]:
    """`["training.images=800"]` as `{"training": {"images": 800}}`; values are read as YAML.

    Raises:
        InputError: an override without `=`.
    """
    out: dict[str, Any] = {}
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise InputError(f"--set {text}: expected KEY=VALUE, such as training.images=16000")
        leaf: Any = _yaml(value, f"--set {text}")
        for key in reversed(path.strip().split(".")):
            leaf = {key: leaf}
        out = merged(out, leaf)
    return out


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of settings.

    Raises:
        InputError: no such file, not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a settings file ({error})") from error
    values = _yaml(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `key: value` lines, found a {type(values).__name__}")
    return values


def validated(model: type[T], values: object, where: str = "settings", *, written: Path | None = None) -> T:
    """`values`, a mapping, as `model`.

    Args:
        model: a group of settings.
        values: what was read.
        where: what an error message begins with.
        written: the file or folder that the program itself wrote the values to, which can be migrated where
            version 0.1 wrote it.

    Raises:
        InputError: one line naming each offending key by its full path, with the nearest existing name; for
            keys of version 0.1, with what they are called now.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = error.errors()
    if renamed := [text for details in errors if (text := _renamed(model, details))]:
        migrate = "" if written is None else f"; to rewrite it: {MIGRATE} {written}"
        raise InputError(f"{where}: " + "; ".join(renamed) + migrate)
    raise InputError(f"{where}: " + "; ".join(_complaint(model, details) for details in errors))


def _renamed(model: type[BaseModel], details: Any) -> str | None:
    """What a key of version 0.1 is called now, or why it is gone; None for any other mistake."""
    path = [str(part) for part in details["loc"]]
    if details["type"] != "extra_forbidden":
        return None
    group = path[-2] if len(path) > 1 else model.__name__.lower()
    if why := gone(group, path[-1]):
        return f"`{'.'.join(path)}` is gone: {why}; leave it out"
    now = new_name(group, path[-1])
    return now and f"`{'.'.join(path)}` is now `{'.'.join([*path[:-1], now])}`"


def _complaint(model: type[BaseModel], details: Any) -> str:
    path = [str(part) for part in details["loc"]]
    name = ".".join(path) or "values"
    if details["type"] == "missing":
        return f"{name} is missing"
    if details["type"] != "extra_forbidden":
        message = str(details["msg"]).removeprefix("Value error, ")
        between = details["type"] == "value_error" and not path  # settings that do not fit each other
        return message if between else f"{name} is {details['input']!r}: {message}"
    known = _keys(model, path[:-1])
    close = difflib.get_close_matches(path[-1], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return f"{name} is not a setting; {hint}"


def _keys(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not YAML ({' '.join(str(error).split())})") from error
