"""How a sound file is changed into one that nobody should rely on: by bytes, or knowing its format.

DICOM files and archives have a file of their own, `dicom_mutations.py`.
"""

from __future__ import annotations

import contextlib
import copy
import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import nibabel
import numpy as np
import torch
import yaml

Change = Callable[[Random, bytes], bytes]

ODD_TEXTS = (
    *("", " ", "x", "n/a", "nan", "null", "0", "-1", "1e999", "sub-01", "..", "../../x", "/etc/passwd"),
    *("a\0b", "a\nb", "a\tb", "\x1b[2J", "\u202e", "\ud800", "\udcff", "é", "日本", "٣", "=1+1", "{}", "%s"),
    *("paired", "judge", "train", "control", "a" * 300, "9" * 5000, "x" * 70_000),
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 7, 255, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30),
    *(0.5, -0.0, 1.5, 1e-320, 1e308, float("nan"), float("inf"), float("-inf")),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": 1}}, [1, "a", None], list(range(300))),
)
YAML_PIECES = (
    *("!!python/object/apply:os.system ['true']", "&a [*a]", "*a", "&a {b: *a}", "<<: *a", "<<: {a: 1}"),
    *(
        "2020-13-45",
        "2001-12-14t21:59:43.10-05:00",
        "0o17",
        "0x",
        "1_000",
        "1e400",
        ".inf",
        ".nan",
        "190:20:30",
    ),
    *(
        "!!binary =",
        "!!timestamp x",
        "!!int x",
        "!!float ''",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!pairs [a: 1]",
    ),
    *(
        "|",
        ">",
        "? [a, b]",
        "%YAML 1.1",
        "---",
        "...",
        "\t",
        "\x85",
        "\u2028",
        "{a: 1, a: 2}",
        "!x y",
        "!<tag:x> y",
    ),
    *(
        "{",
        "[",
        '"',
        "'",
        "- - - - a",
        "~: 1",
        "1: 1",
        "yes: no",
        "!!null x",
        "!!bool x",
        "!!str",
        "\ufeffa: 1",
    ),
)
TABLE_PIECES = ("", '"', "'", "\t", ",", ";", "\n", "\r", "\r\n", "\0", "#", "\ufeff", '""', '"a\nb"', "\xa0")
PARTS_OF_FILES = (b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f\x8b", b"PK\3\4", b"BZh9", b"\xff" * 64)


def any_of(*changes: Change) -> Change:
    """One of several changes, drawn anew for each input."""
    return lambda random, content: random.choice(changes)(random, content)


def bytes_changed(random: Random, content: bytes) -> bytes:
    """A few bits or bytes flipped, blocks cut, doubled, zeroed or put in, or the end cut off."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        at, length = random.randrange(len(data) + 1), random.choice((1, 1, 4, 16, 200))
        kind = random.randrange(8)
        if kind == 0 or not data:
            data[at:at] = random.choice((*PARTS_OF_FILES, random.randbytes(length)))
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            data[at:at] = data[at : at + length]
        elif kind == 4:
            data[at : at + length] = bytes(len(data[at : at + length]))
        else:
            place = min(at, len(data) - 1)
            data[place] = random.choice((data[place] ^ (1 << random.randrange(8)), random.randrange(256)))
    return bytes(data)


def odd_value(random: Random) -> Any:
    """A value that JSON or YAML can hold and that a reader may not expect."""
    if random.random() < 0.03:
        deep: Any = 0
        for _ in range(random.choice((10, 49, 60, 200))):
            deep = [deep]
        return deep
    return copy.deepcopy(random.choice((*ODD_VALUES, *ODD_TEXTS)))


def tree_changed(random: Random, values: Any) -> Any:
    """Values with one to three places replaced, removed, renamed, added, scaled or put in each other's."""
    values = copy.deepcopy(values)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        holders = _holders(values)
        if not holders:
            return odd_value(random)
        holder = random.choice(holders)
        key = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        _change_place(random, holder, key, holders)
    return values


def _holders(values: Any) -> list[Any]:
    """Every mapping and list with something in it."""
    found, waiting = [], [values]
    while waiting:
        each = waiting.pop()
        inner = list(each.values()) if isinstance(each, dict) else each if isinstance(each, list) else []
        found += [each] if inner else []
        waiting += inner
    return found


def _change_place(random: Random, holder: Any, key: Any, holders: Sequence[Any]) -> None:
    value, kind = holder[key], random.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[random.choice((str(key) + "s", random.choice(ODD_TEXTS)))] = holder.pop(key)
    elif kind == 2 and isinstance(holder, dict):
        holder[random.choice((*ODD_TEXTS, "extra"))] = odd_value(random)
    elif kind == 3 and isinstance(holder, list):
        holder.append(random.choice((value, odd_value(random))))
    elif kind == 4 and isinstance(value, int | float):
        holder[key] = random.choice((-value, value + 1, value * 1000, value / 3, str(value), [value]))
    elif kind == 5:
        other = random.choice(holders)
        holder[key] = copy.deepcopy(random.choice(list(other.values() if isinstance(other, dict) else other)))
    else:
        holder[key] = odd_value(random)


def json_changed(random: Random, content: bytes) -> bytes:
    """Other JSON values; now and then with a line twice, or as text that is no longer JSON."""
    try:
        values = tree_changed(random, json.loads(content))
    except (ValueError, RecursionError):
        return bytes_changed(random, content)
    text = json.dumps(values, indent=random.choice((None, 1)), ensure_ascii=random.random() < 0.7)
    if random.random() < 0.1:
        text = _line_twice(random, json.dumps(values, indent=1), ",")
    changed = text.encode("utf-8", "surrogatepass")
    return bytes_changed(random, changed) if random.random() < 0.05 else changed


def yaml_changed(random: Random, content: bytes) -> bytes:
    """Other YAML values, or lines moved, doubled, or with a piece that few people know."""
    text = content.decode("utf-8", "replace")
    if random.random() < 0.5:
        with contextlib.suppress(yaml.YAMLError, ValueError, RecursionError):
            text = yaml.safe_dump(tree_changed(random, yaml.safe_load(text)), sort_keys=False)
            return text.encode("utf-8", "surrogatepass")
    lines = text.split("\n")
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(lines))
        name = lines[at].partition(":")[0]
        lines[at] = random.choice(
            (
                f"{name}: {random.choice(YAML_PIECES)}",
                random.choice(YAML_PIECES),
                f"{lines[at]}\n{lines[at]}",
                " " * random.randrange(8) + lines[at].lstrip(),
                f"{name}: {random.choice(ODD_TEXTS)}",
            )
        )
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _line_twice(random: Random, text: str, mark: str) -> str:
    lines = text.split("\n")
    ends = [at for at, line in enumerate(lines) if line.endswith(mark)]
    if ends:
        at = random.choice(ends)
        lines.insert(at, lines[at])
    return "\n".join(lines)


def lines_changed(random: Random, content: bytes) -> bytes:
    """One line of JSON changed, as in a file with a JSON value a line."""
    lines = content.split(b"\n")
    at = random.randrange(len(lines))
    lines[at] = random.choice((bytes_changed, json_changed))(random, lines[at])
    return b"\n".join(lines)


def table_changed(random: Random, content: bytes) -> bytes:
    """A table with other cells, columns, rows or characters."""
    rows = [line.split("\t") for line in content.decode("utf-8", "replace").split("\n")]
    for _ in range(random.choice((1, 1, 2, 4))):
        row = random.choice(rows)
        at, kind = random.randrange(len(row)), random.randrange(6)
        odd = random.choice((*ODD_TEXTS[:-2], *TABLE_PIECES, "9" * random.choice((20, 400, 5000))))
        if kind == 0:
            row.pop(at) if len(row) > 1 else row.append(odd)
        elif kind == 1:
            rows.insert(random.randrange(len(rows) + 1), list(row))
        elif kind == 2:
            for each in rows:  # a whole column
                each[at : at + 1] = random.choice(([], [*each[at : at + 1]] * 2, [odd]))
                if not each:
                    each.append("")
        elif kind == 3:
            row.insert(at, odd)
        else:
            row[at] = odd
    mark = random.choice(("\t", "\t", "\t", "\t", ",", ";"))
    text = random.choice(("\n", "\n", "\n", "\r\n", "\r")).join(mark.join(row) for row in rows)
    coding = random.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig", "latin-1", "utf-32"))
    return text.encode(coding, "surrogatepass" if coding.startswith("utf") else "replace")


INTEGERS = (0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 64, 128, 256, 348, 511, 512, 540, 1024, 1536, 2048, 32767, -32768)
FLOATS = (0, 1, -1, 0.5, 1e-3, 1e-40, 1e38, -1e38, 352, 348, 351.5, 1e9, 50, 25400, np.nan, np.inf, -np.inf)


def nifti_changed(random: Random, content: bytes) -> bytes:
    """A NIfTI file, compressed or not, with fields of its header at odd or extreme values."""
    packed = content[:2] == b"\x1f\x8b"
    data = bytearray(gzip.decompress(content) if packed else content)
    kind = nibabel.Nifti2Header if bytes(data[:4]) in (b"\x1c\2\0\0", b"\0\0\2\x1c") else nibabel.Nifti1Header
    fields = np.ndarray((), dtype=kind.template_dtype, buffer=data[: kind.sizeof_hdr])
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        _change_field(random, fields, random.choice(kind.template_dtype.names))
    data[: kind.sizeof_hdr] = fields.tobytes()
    if random.random() < 0.1:
        data[kind.sizeof_hdr : kind.sizeof_hdr + 4] = random.choice((b"\1\0\0\0", b"\xff" * 4, b"\0\0\0\1"))
    if random.random() < 0.05:  # the other byte order
        data[: kind.sizeof_hdr] = fields.byteswap().tobytes()
    return gzip.compress(bytes(data), 1, mtime=0) if packed else bytes(data)


def _change_field(random: Random, fields: Any, name: str) -> None:
    field = fields[name]
    kind = field.dtype.kind
    if kind == "S":
        fields[name] = random.randbytes(random.randrange(field.dtype.itemsize + 1))
        return
    with np.errstate(all="ignore"):
        value = np.array(random.choice(FLOATS if kind == "f" else INTEGERS)).astype(field.dtype)
        if kind != "f" and random.random() < 0.2:
            value = np.array(random.choice((np.iinfo(field.dtype).min, np.iinfo(field.dtype).max)))
    if field.ndim:
        fields[name][random.randrange(len(field))] = value
    else:
        fields[name] = value


def voxels_changed(random: Random, content: bytes) -> bytes:
    """A NIfTI file of float32 voxels with odd numbers among them, or all of one value, or a part cut off."""
    packed = content[:2] == b"\x1f\x8b"
    data = bytearray(gzip.decompress(content) if packed else content)
    values = np.frombuffer(data, dtype="<f4", offset=352)
    odd = np.float32(random.choice((np.nan, np.inf, -np.inf, 0, -1, 1e38, 1e-40, -1e30, 255, 3e9)))
    kind = random.randrange(6)
    if kind == 0:
        values[random.randrange(len(values)) :] = odd
    elif kind == 1:
        values[random.randrange(len(values))] = odd
    elif kind == 2:
        values *= np.float32(random.choice((-1, 1e-6, 1e6, 0, 1e-38)))
    elif kind == 3:
        values += np.float32(random.choice((-1000, 1000, 1e-3, -0.5)))
    elif kind == 4:
        values[:] = np.random.default_rng(random.randrange(2**32)).permutation(values)
    else:
        values[values <= 0] = odd
    return gzip.compress(bytes(data), 1, mtime=0) if packed else bytes(data)


def gzip_rebuilt(random: Random, content: bytes) -> bytes:
    """Other bytes inside sound compression: with a right or wrong checksum, further members, or a rest."""
    inner = bytes_changed(random, gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    whole = gzip.compress(inner, 1, mtime=0)
    kind = random.randrange(5)
    if kind == 0:
        return whole[:-8] + struct.pack("<II", zlib.crc32(inner) ^ 1, len(inner) & 0xFFFFFFFF)
    if kind == 1:
        return whole + gzip.compress(random.randbytes(20), mtime=0)
    if kind == 2:
        return whole + random.choice((b"\0" * 100, b"\x1f\x8b", b"\x1f", random.randbytes(30)))
    if kind == 3:
        return gzip.compress(whole, 1, mtime=0)
    return whole


def safetensors_changed(random: Random, content: bytes) -> bytes:
    """Tensors of other names, types, shapes or places, or a header of another length than it says."""
    length = struct.unpack("<Q", content[:8])[0]
    header, data = content[8 : 8 + length], content[8 + length :]
    kind = random.randrange(6)
    if kind == 0:
        return bytes_changed(random, content)
    if kind == 1:
        odd = random.choice((0, 1, length - 1, length + 1, len(content), 2**31, 2**63, 2**64 - 1))
        return struct.pack("<Q", odd) + header + data
    if kind == 2:
        numbers = np.frombuffer(data, dtype="<f4").copy()
        numbers[random.randrange(len(numbers))] = random.choice((np.nan, np.inf, -np.inf, 1e38, 0))
        return content[: 8 + length] + numbers.tobytes()
    values = json.loads(header)
    if kind == 3:
        tensor = values[random.choice([name for name in values if name != "__metadata__"])]
        tensor["dtype"] = random.choice(("F64", "F16", "BF16", "I8", "I64", "BOOL", "U8", "F8_E4M3", "X"))
    else:
        values = tree_changed(random, values)
    changed = json.dumps(values).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(changed)) + changed + data


def state_changed(random: Random, content: bytes) -> bytes:
    """A training state with parts that are missing, of another kind, shape or value, or damaged bytes."""
    if random.random() < 0.4:
        return bytes_changed(random, content)
    state = torch.load(io.BytesIO(content), weights_only=True)
    for _ in range(random.choice((1, 1, 2))):
        holders = _holders(state)
        holder = random.choice(holders)
        key = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        value = holder[key]
        if isinstance(value, torch.Tensor) and random.random() < 0.6:
            holder[key] = random.choice(
                (
                    value.flatten()[:1],
                    value[None],
                    value.to(torch.int64),
                    value * float("nan"),
                    value.to(torch.complex64),
                    value.double() * 1e300,
                    value.to_sparse(),
                )
            )
        else:
            _change_place(random, holder, key, holders)
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def array_changed(random: Random, content: bytes) -> bytes:
    """A `.npy` with another header or other bytes."""
    if random.random() < 0.5:
        return bytes_changed(random, content[:128]) + content[128:]
    header = random.choice(
        (
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 64, 48), }"
            % random.choice((0, 1, 10**9)),
            b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
            b"{'descr': '<f4', 'fortran_order': True, 'shape': (-1, 64, 48), }",
            b"{'descr': '<f8', 'fortran_order': False, 'shape': (), }",
            b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }",
            b"{" * 50,
            b"[" * 5000,
            b"__import__('os').getpid()",
        )
    )
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header) + 1) + header + b"\n" + content[128:]


JSON = any_of(json_changed, json_changed, json_changed, bytes_changed)
YAML = any_of(yaml_changed, yaml_changed, yaml_changed, bytes_changed)
TABLE = any_of(table_changed, table_changed, table_changed, bytes_changed)
IMAGE = any_of(nifti_changed, nifti_changed, bytes_changed, voxels_changed)
PACKED = any_of(nifti_changed, bytes_changed, gzip_rebuilt, voxels_changed)
