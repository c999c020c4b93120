"""Settings from YAML files and `key=value` overrides, and what is said of a mistake in them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pseudohealthy.errors import InputError
from pseudohealthy.files import MEGABYTE, read_text
from pseudohealthy.json_files import LARGEST_INTEGER
from pseudohealthy.renamed import MIGRATE, gone, new_name

T = TypeVar("T", bound=BaseModel)

LARGEST_FILE = MEGABYTE
MOST_VALUES = 10_000  # of a file, where what an alias stands for counts each time
DEEPEST = 20  # levels of groups and lists
LONGEST_SHOWN = 80  # characters of a value in a message
TOO_MANY = f"more than {MOST_VALUES} values, aliases counted each time; give fewer"
TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


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
        InputError: an override without `=`, or a value that `read_yaml` would refuse.
    """
    out: dict[str, Any] = {}
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise InputError(f"--set {_short(text)}: expected KEY=VALUE, such as training.images=16000")
        keys = path.strip().split(".")
        if len(keys) > DEEPEST:
            raise InputError(f"--set {_short(text)}: {len(keys)} keys deep, expected at most {DEEPEST}")
        leaf: Any = _yaml(value, f"--set {_short(text)}")
        for key in reversed(keys):
            leaf = {key: leaf}
        out = merged(out, leaf)
    return out


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of settings.

    Raises:
        InputError: no such file, larger than 1 MB, not YAML, or not a mapping; a key that is there twice or
            is not text; nested too deeply, or too many values.
    """
    try:
        text = read_text(path, LARGEST_FILE)
    except (OSError, ValueError) as error:
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
        return message if between else f"{name} is {_short(repr(details['input']))}: {message}"
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


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


class _Loader(yaml.SafeLoader):
    """Plain values; one that Python cannot hold is an error that names its line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep=deep)
        except (ValueError, AttributeError, LookupError) as error:  # whatever the tag's own parser meets
            raise _refused(node, f"{_short(str(node.value))} is no number or date that exists") from error
        if isinstance(value, int) and abs(value) >= LARGEST_INTEGER:
            raise _refused(node, "a number of more than 64 bits")
        return value


def _yaml(text: str, where: str) -> Any:
    try:
        _refuse_deep(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_odd_nodes(node)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not YAML ({' '.join(str(error).split())})") from error
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _refuse_deep(text: str) -> None:
    """Read the text piece by piece, which takes no more memory for many levels than for one.

    Raises:
        ValueError: too many levels or values.
    """
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            line = "it" if event.start_mark is None else f"line {event.start_mark.line + 1}"
            raise ValueError(f"{line} is nested more than {DEEPEST} levels deep; settings have two or three")
        if count > 3 * MOST_VALUES:
            raise ValueError(TOO_MANY)


def _refuse_odd_nodes(root: yaml.Node) -> None:
    """Refuse aliases that multiply or hold themselves, and keys that are no text or are there twice."""
    waiting, seen = [root], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise ValueError(TOO_MANY)
        if isinstance(node, yaml.MappingNode):
            _refuse_odd_keys(node)
            waiting.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)


def _refuse_odd_keys(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag not in (TEXT, MERGE):
            shown = _short(str(key.value)) if isinstance(key, yaml.ScalarNode) else "of several values"
            raise ValueError(f"line {line}: the key {shown} is not text; give a name, in quotes if need be")
        if key.value in lines:
            raise ValueError(
                f"the key {_short(key.value)} is there twice, on lines {lines[key.value]} and {line}; "
                "remove one"
            )
        lines[key.value] = line


def _refused(node: yaml.Node, reason: str) -> ValueError:
    return ValueError(f"line {node.start_mark.line + 1}: {reason}")
