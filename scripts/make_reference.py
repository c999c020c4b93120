"""Writes the tables of the reference pages and of the changelog from the code: `make reference`.

A page keeps its own prose. Each table stands between two marks, of which the first names it:

    <!-- table: command pseudohealthy train -->
    <!-- /table -->
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import getdoc
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pseudohealthy.cli import bids_app, main
from pseudohealthy.config import Losses, Networks, Preprocessing, Settings, Training
from pseudohealthy.experiment.config import Data, Experiment, Phantoms
from pseudohealthy.presets import OF_METHODS, PREPROCESSING, PRESETS, PRESETS_OF_METHODS
from pseudohealthy.renamed import RESULTS, SETTINGS
from pseudohealthy.synthesis.output_files import DESCRIPTIONS, output_files, sidecar_path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- /table -->)", re.DOTALL)
PAGES = ("docs/reference/cli.md", "docs/reference/settings.md", "docs/reference/files.md", "CHANGELOG.md")
GROUPS: Mapping[str, type[BaseModel]] = {
    group.__name__: group
    for group in (Preprocessing, Networks, Losses, Training, Settings, Experiment, Data, Phantoms)
}
COMMANDS: Mapping[str, Any] = {
    **{f"pseudohealthy {name}": each for name, each in typer.main.get_command(main.app).commands.items()},  # type: ignore[attr-defined]
    "pseudohealthy-bids": typer.main.get_command(bids_app.app),
}
IMAGE = "sub-01_FLAIR.nii.gz"  # whose outputs the page lists
FILES = {
    "panel": "A picture of a few slices.",
    "report": "How it was made: the run report.",
    "page": "A page to look at in a browser; it works without a network.",
}
WORDS = {bool: "`true`, `false`", int: "whole number", float: "number", str: "text", NoneType: "`null`"}
BOUNDS = (
    (annotated_types.Gt, "gt", "above"),
    (annotated_types.Ge, "ge", "at least"),
    (annotated_types.Lt, "lt", "below"),
    (annotated_types.Le, "le", "at most"),
)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows as Markdown.

    Raises:
        ValueError: there are none.
    """
    lines = [heads, ["---"] * len(heads), *rows]
    if len(lines) == 2:
        raise ValueError(f"a table of {', '.join(heads)} would be empty")
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def settings_help(group: type[BaseModel]) -> str:
    """What a group is, and of every setting its default, which values it may have, and what it is."""
    texts = attributes(group)
    rows = [
        (f"`{name}`", default_of(field), values_of(field.annotation, field.metadata), texts[name])
        for name, field in group.model_fields.items()
    ]
    about = _flowing((getdoc(group) or "").partition("Attributes:\n")[0].rstrip())
    return f"{about}\n\n{table(('setting', 'default', 'values', 'what'), rows)}"


def attributes(group: type[BaseModel]) -> dict[str, str]:
    """What the section Attributes of a docstring says of each; ready for a cell of a table."""
    section = (getdoc(group) or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w|\Z)", section, re.MULTILINE | re.DOTALL)
    return {name: _cell(text) for name, text in entries}


def default_of(field: FieldInfo) -> str:
    """A setting's default as YAML writes it; of a group, that it has its own table."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        name = type(value).__name__
        return f"[{name}](#{name.lower()})"
    return f"`{_yaml(value)}`"


def values_of(annotation: Any, bounds: Sequence[Any] = ()) -> str:
    """A type in words, such as `whole number, at least 4`.

    Raises:
        KeyError: a type that has no word yet.
    """
    origin, within = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in within)
    if origin is tuple:
        return "list" if Ellipsis in within else f"list of {len(within)}"
    if origin in (Union, UnionType):
        return " or ".join(values_of(each, bounds) for each in within)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a group"
    if origin is dict:
        return "keys and values" if within[1] is Any else "groups by name"
    limits = [
        f"{word} {getattr(each, key)}" for each in bounds for kind, key, word in BOUNDS if type(each) is kind
    ]
    return ", ".join([WORDS[annotation], *(limits if annotation in (int, float) else [])])


def presets_table() -> str:
    """What each preset and each method changes."""
    tables: dict[str, Mapping[str, Mapping[str, Any]]] = {
        **{f"preset `{name}`, preprocessing": {"": changes} for name, changes in PREPROCESSING.items()},
        **{f"preset `{name}`": changes for name, changes in PRESETS.items()},
        **{f"method `{name}`": changes for name, changes in OF_METHODS.items()},
        **{f"preset `{one}`, method `{name}`": each for (one, name), each in PRESETS_OF_METHODS.items()},
    }
    rows = {
        who: "; ".join(
            f"`{f'{group}.{key}'.lstrip('.')}={_yaml(value)}`"
            for group, values in changes.items()
            for key, value in values.items()
        )
        for who, changes in tables.items()
    }
    return table(("who", "changes"), [(who, what) for who, what in rows.items() if what])


def command_help(command: Any) -> str:
    """What `--help` tells of a command: its text, its arguments and its options."""
    types = get_type_hints(command.callback)
    rows = [(_option(each), _default(each), _what(each, types[each.name])) for each in command.params]
    return f"{_flowing(command.help)}\n\n{table(('argument or option', 'default', 'what'), rows)}"


def image_table() -> str:
    """The files that are made of one image."""
    files = output_files(Path(), IMAGE, blend=True, uncertainty=True)
    rows = [(f"`{path.name}`", {**DESCRIPTIONS, **FILES}[kind]) for kind, path in files.items()]
    sidecars = [f"`{sidecar_path(path).name}`" for kind, path in files.items() if kind in DESCRIPTIONS]
    return table(("file", "what"), [*rows, (", ".join(sidecars), "BIDS sidecars.")])


def renamed_settings() -> str:
    """Settings whose names have changed."""
    rows = [
        (f"`{_dotted(group, old)}`", f"`{_dotted(group, new)}`")
        for group, names in SETTINGS.items()
        for old, new in names.items()
    ]
    return table(("0.1", "0.2"), rows)


def renamed_results() -> str:
    """Keys of results whose names have changed."""
    return table(("0.1", "0.2"), [(f"`{old}`", f"`{new}`") for old, new in RESULTS.items()])


TABLES: Mapping[str, Callable[[], str]] = {
    **{f"command {name}": partial(command_help, each) for name, each in COMMANDS.items()},
    **{f"settings {name}": partial(settings_help, group) for name, group in GROUPS.items()},
    "presets and methods": presets_table,
    "files of an image": image_table,
    "renamed settings": renamed_settings,
    "renamed results": renamed_results,
}


def filled(text: str) -> str:
    """A page with each of its tables made anew.

    Raises:
        KeyError: a mark names a table that there is not.
    """
    return BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n\n{found[3]}", text)


def pages() -> dict[Path, str]:
    """Each page with what it is to hold."""
    paths = [ROOT / name for name in PAGES]
    return {path: filled(path.read_text(encoding="utf-8")) for path in paths}


def _option(option: Any) -> str:
    if option.param_type_name == "option":
        return ", ".join(f"`{name}`" for name in option.opts)
    names = (option.metavar or option.name.upper()).strip("{}").split("|")
    return " or ".join(f"`{name}`" for name in names)


def _default(option: Any) -> str:
    if option.required:
        return "required"
    value = option.default
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{' '.join(map(str, value)) if isinstance(value, tuple) else value}`"


def _what(option: Any, annotation: Any) -> str:
    literals = [each for each in (annotation, *get_args(annotation)) if get_origin(each) is Literal]
    return " ".join([_cell(option.help), *(f"One of {values_of(each)}." for each in literals)])


def _cell(text: str) -> str:
    text = re.sub(r"\|([^|]+)\|", r"abs(\1)", " ".join(text.split()))
    return re.sub(r"\bNone\b", "`null`", text)


def _flowing(text: str) -> str:
    """Paragraphs on one line each; code, which is indented, as it is."""
    paragraphs = text.strip("\n").split("\n\n")
    return "\n\n".join(each if each.startswith("    ") else " ".join(each.split()) for each in paragraphs)


def _yaml(value: Any) -> str:
    return json.dumps(value).replace('"', "")


def _dotted(group: str, name: str) -> str:
    return name if group == "experiment" else f"{group}.{name}"


if __name__ == "__main__":
    for page, content in pages().items():
        page.write_text(content, encoding="utf-8")
        print(page, file=sys.stderr)
