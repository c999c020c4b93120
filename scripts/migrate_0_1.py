"""Files of version 0.1 with the names of today: weights folders, settings and experiment files, results.

    python scripts/migrate_0_1.py PATH...

Each PATH is a file, or a folder in which all files ending in `.json`, `.yaml`, `.tsv` and `.safetensors`, and
the cards of weights, are rewritten in place; settings that are gone are left out. Numbers and tensors stay as
they are; a second run changes nothing. A file that cannot be read is reported and left as it is. Exit codes:
0 all could be read; 1 some could not; 2 a PATH does not exist, and nothing was rewritten.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from pseudohealthy.errors import PseudohealthyError, message
from pseudohealthy.files import replace, write_text
from pseudohealthy.renamed import RESULTS, SETTINGS, gone

NAMES = {"held_back": "held_out"}  # of a judge, which is a value too
FILES = {"familiar.json": "training_distribution.json"}
UNREADABLE = (  # what the readers below raise for a damaged file
    *(OSError, ValueError, TypeError, AttributeError, struct.error),
    *(yaml.YAMLError, PseudohealthyError),
)


def new_key(group: str, key: str) -> str:
    """The name of today for a key of the mapping called `group`."""
    return SETTINGS[group].get(key, key) if group in SETTINGS and group else RESULTS.get(key, key)


def renamed(values: Any, group: str = "") -> Any:
    """Values of JSON with the names of today for every key and every judge."""
    if isinstance(values, Mapping):
        names = {key: new_key(group, key) for key in values if not gone(group, key)}
        if isinstance(values.get("familiar"), Mapping) and "figures" in values["familiar"]:
            names["familiar"] = "training_distribution"  # of a model; an image's is a comparison with it
        new = {name: renamed(values[key], key) for key, name in names.items()}
        return {**new, "status": "no_image"} if _without_image(values) else new
    if isinstance(values, list):
        return [renamed(each, group) for each in values]
    return NAMES.get(values, values) if isinstance(values, str) else values


def json_text(text: str) -> str:
    """A JSON file's text, renamed."""
    values = json.loads(text)
    new = renamed(values)
    return text if new == values else json.dumps(new, indent=1, allow_nan=False) + "\n"


def yaml_text(text: str) -> str:
    """A YAML file's text with its keys renamed where they stand: comments and layout stay."""
    changes: set[tuple[int, int, str]] = set()  # what an alias refers to is met twice
    _walk(yaml.compose(text), "", changes)
    for start, end, name in sorted(changes, reverse=True):
        text = text[:start] + name + text[end:]
    return text


def tsv_text(text: str) -> str:
    """A table's text with the names of its columns, and of the measures in a column of that name, renamed."""
    lines = text.split("\n")
    heads = lines[0].split("\t")
    lines[0] = "\t".join(_dotted(head) for head in heads)
    if "measure" in heads:
        place = heads.index("measure")
        for number, line in enumerate(lines[1:], 1):
            cells = line.split("\t")
            if len(cells) == len(heads):
                cells[place] = _dotted(cells[place])
                lines[number] = "\t".join(cells)
    return "\n".join(lines)


def card_text(text: str) -> str:
    """A weights folder's card, in which preprocessing and settings stand as JSON between backticks."""

    def again(match: re.Match[str]) -> str:
        try:
            values = json.loads(match[1])
        except ValueError:
            return match[0]
        group = "preprocessing" if "spacing" in values else ""
        return f"`{json.dumps(renamed(values, group))}`"

    return re.sub(r"`(\{.*\})`", again, text)


def safetensors_bytes(content: bytes) -> bytes:
    """A weights file with the config in its header renamed; the tensors' bytes are the same."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    about = header.get("__metadata__", {})
    if "config" in about:
        about["config"] = json.dumps(renamed(json.loads(about["config"])))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


TEXTS: Mapping[str, Callable[[str], str]] = {
    ".json": json_text,
    ".yaml": yaml_text,
    ".yml": yaml_text,
    ".tsv": tsv_text,
}


def migrate(path: Path) -> bool:
    """Rewrite one file, if it has an old name; whether it had."""
    if path.suffix == ".safetensors":
        content = path.read_bytes()
        new = safetensors_bytes(content)
        if _same_header(content, new):
            return False
        replace(path, lambda part: part.write_bytes(new))
        return True
    change = card_text if path.name == "README.md" else TEXTS.get(path.suffix)
    if change is None:
        return False
    text = path.read_text(encoding="utf-8")
    there = path.with_name(FILES.get(path.name, path.name))
    if (new_text := change(text)) == text and there == path:
        return False
    write_text(there, new_text)
    if there != path:
        path.unlink()
    return True


def main(arguments: list[str]) -> int:
    """Migrate every path given, and print each file that was rewritten; returns the exit code."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0 if arguments else 2
    paths = [Path(argument) for argument in arguments]
    if missing := [path for path in paths if not path.exists()]:
        print(message(f"{missing[0]}: no such file or folder; nothing was rewritten"), file=sys.stderr)
        return 2
    rewritten = failed = 0
    for path in (file for each in paths for file in (sorted(each.rglob("*")) if each.is_dir() else [each])):
        try:
            if path.is_file() and migrate(path):
                rewritten += 1
                print(message(f"rewritten: {path}"))
        except UNREADABLE as error:
            failed += 1
            reason = " ".join(str(error).split())
            print(message(f"{path}: left as it is ({reason})"), file=sys.stderr)
    print(f"{rewritten} files rewritten, {failed} could not be read; all others have today's names")
    return 1 if failed else 0


def _without_image(values: Mapping[str, Any]) -> bool:
    """Whether they are the record of a subject without an image, whose status was "skipped"."""
    return {"subject", "image", "status"} <= values.keys() and (values["image"], values["status"]) == (
        None,
        "skipped",
    )


def _walk(node: yaml.Node | None, group: str, changes: set[tuple[int, int, str]]) -> None:
    if isinstance(node, yaml.MappingNode):
        for place, (key, value) in enumerate(node.value):
            if gone(group, key.value):
                changes.add(_removal(node, place))
            elif (name := new_key(group, key.value)) != key.value:
                changes.add((key.start_mark.index, key.end_mark.index, name))
            _walk(value, key.value, changes)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _walk(each, group, changes)
    elif isinstance(node, yaml.ScalarNode) and node.value in NAMES:
        changes.add((node.start_mark.index, node.end_mark.index, NAMES[node.value]))


def _removal(node: yaml.MappingNode, place: int) -> tuple[int, int, str]:
    """The edit that takes an entry out of a mapping, with its line or comma; the last one leaves `{}`."""
    (key, value), rest = node.value[place], node.value[place + 1 :]
    start, end = key.start_mark.index, value.end_mark.index
    if node.flow_style:
        if rest:
            return start, rest[0][0].start_mark.index, ""
        return (node.value[place - 1][1].end_mark.index if place else start), end, ""
    if len(node.value) == 1:
        return start, end, "{}"
    line = key.start_mark.buffer.find("\n", end)
    return start - key.start_mark.column, line + 1 if line >= 0 else end, ""


def _dotted(path: str) -> str:
    return ".".join(RESULTS.get(part, part) for part in path.split("."))


def _same_header(old: bytes, new: bytes) -> bool:
    sizes = [struct.unpack("<Q", each[:8])[0] for each in (old, new)]
    headers = [json.loads(each[8 : 8 + size]) for each, size in zip((old, new), sizes, strict=True)]
    return bool(headers[0] == headers[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
