"""Files of version 0.1 with the names of today: weights folders, settings and experiment files, results.

    python scripts/migrate_0_1.py PATH...

Each PATH is a file, or a folder in which all files ending in `.json`, `.yaml`, `.tsv` and `.safetensors`, and
the cards of weights, are rewritten in place; settings that are gone are left out. Numbers and tensors stay as
they are; a second run changes nothing.
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

from pseudohealthy.files import replace, write_text
from pseudohealthy.renamed import RESULTS, SETTINGS, gone

NAMES = {"held_back": "held_out"}  # of a judge, which is a value too
FILES = {"familiar.json": "training_distribution.json"}


def new_key(group: str, key: str) -> str:
    """What a key of the mapping called `group` is called now."""
    return SETTINGS[group].get(key, key) if group in SETTINGS and group else RESULTS.get(key, key)


def renamed(values: Any, group: str = "") -> Any:
    """Values of JSON with every key, and every judge's name, as it is called now."""
    if isinstance(values, Mapping):
        names = {key: new_key(group, key) for key in values if not gone(group, key)}
        if isinstance(values.get("familiar"), Mapping) and "figures" in values["familiar"]:
            names["familiar"] = "training_distribution"  # of a model; an image's is a comparison with it
        return {name: renamed(values[key], key) for key, name in names.items()}
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
    found: list[tuple[int, int, str]] = []
    _walk(yaml.compose(text), "", found)
    for start, end, name in sorted(found, reverse=True):
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


def main(arguments: list[str]) -> None:
    """Migrate every path given, and say what was rewritten."""
    if not arguments:
        sys.exit(__doc__)
    for argument in map(Path, arguments):
        files = sorted(argument.rglob("*")) if argument.is_dir() else [argument]
        for path in files:
            if path.is_file() and migrate(path):
                print(path)


def _walk(node: yaml.Node | None, group: str, found: list[tuple[int, int, str]]) -> None:
    if isinstance(node, yaml.MappingNode):
        for place, (key, value) in enumerate(node.value):
            if gone(group, key.value):
                found.append(_removal(node, place))
            elif (name := new_key(group, key.value)) != key.value:
                found.append((key.start_mark.index, key.end_mark.index, name))
            _walk(value, key.value, found)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _walk(each, group, found)
    elif isinstance(node, yaml.ScalarNode) and node.value in NAMES:
        found.append((node.start_mark.index, node.end_mark.index, NAMES[node.value]))


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
    main(sys.argv[1:])
