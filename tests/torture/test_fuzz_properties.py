"""What holds of any values and texts: they come back as they were, or are refused in one line."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.brains import LPS
from pseudohealthy.data.volume import read_volume, volume_from_array, write_volume
from pseudohealthy.errors import InputError, message, printable
from pseudohealthy.files import flatten, nest, read_tsv, write_json, write_tsv
from pseudohealthy.json_files import read_json
from pseudohealthy.settings_files import assignments, read_yaml

NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(TEXTS, VALUES, max_size=5)
SLICES = st.integers(2, 5)
MANY = settings(max_examples=60, deadline=None, derandomize=True, database=None)
FEW = settings(MANY, max_examples=25, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


def outcome(read: Callable[[], Any]) -> tuple[Any, str]:
    """What is read, and ""; or None, and the line that says why it is not."""
    try:
        return read(), ""
    except InputError as error:
        return None, message(error)


@MANY
@given(values=MAPPINGS)
def test_json_comes_back(folder: Path, values: dict[str, Any]) -> None:
    write_json(folder / "x.json", values)
    assert read_json(folder / "x.json") == values


@MANY
@given(values=st.dictionaries(st.text("abc_", min_size=1, max_size=8), VALUES, max_size=5))
def test_settings_come_back(folder: Path, values: dict[str, Any]) -> None:
    """The numbers, too; keys are words."""
    (folder / "x.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    read, refusal = outcome(lambda: read_yaml(folder / "x.yaml"))
    assert refusal.startswith(f"{folder / 'x.yaml'}: ") if read is None else read == values


@MANY
@given(content=st.binary(max_size=60) | TEXTS.map(str.encode))
def test_any_bytes_are_read_or_refused_in_one_line(folder: Path, content: bytes) -> None:
    (folder / "x").write_bytes(content)
    for read in (read_json, read_yaml):
        values, refusal = outcome(lambda: read(folder / "x"))  # noqa: B023  (called at once)
        assert isinstance(values, dict) or refusal.startswith(f"{folder / 'x'}: ")
        assert refusal.isprintable()


@MANY
@given(text=TEXTS)
def test_an_override_is_read_or_refused_in_one_line(text: str) -> None:
    values, refusal = outcome(lambda: assignments([text]))
    assert isinstance(values, dict) or refusal.startswith("--set ")
    assert refusal.isprintable()


@MANY
@given(text=st.text(max_size=40))
def test_what_is_shown_can_be_shown_everywhere_and_again(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert shown.encode("utf-8").decode("utf-8") == shown


@MANY
@given(values=st.dictionaries(st.text("abc", min_size=1), NUMBERS | TEXTS, max_size=5))
def test_flat_values_are_nested_again(values: dict[str, Any]) -> None:
    nested = {"x": values, "y": {"z": 1}}
    assert nest(flatten(nested)) == {name: group for name, group in nested.items() if group}


@FEW
@given(data=st.data())
def test_tables_come_back(folder: Path, data: st.DataObject) -> None:
    import pandas as pd

    names = data.draw(
        st.lists(st.text("ABn/a01", min_size=1).filter(lambda name: name != "n/a"), min_size=1, unique=True)
    )
    numbers = data.draw(st.lists(NUMBERS.map(float), min_size=len(names), max_size=len(names)))
    table = pd.DataFrame({"value": numbers}, index=pd.Index(names, name="volume"))
    write_tsv(folder / "x.tsv", table)
    read = read_tsv(folder / "x.tsv", "volume")
    assert read.index.tolist() == names
    np.testing.assert_allclose(read["value"].astype(float), numbers, rtol=1e-12)


@FEW
@given(
    shape=st.tuples(SLICES, SLICES, SLICES),
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([0.5, 1.0, 3.0]),
)
def test_volumes_come_back(folder: Path, shape: tuple[int, int, int], seed: int, size: float) -> None:
    array = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    volume = volume_from_array(array, (size, size, size))
    for name in ("x.nii", "x.nii.gz"):
        write_volume(folder / name, volume.data, volume)
        read = read_volume(folder / name)
        np.testing.assert_array_equal(read.data, volume.data)
        np.testing.assert_allclose(read.affine, volume.affine, rtol=1e-6)
        assert np.sign(np.diag(read.affine)).tolist() == np.sign(np.diag(LPS)).tolist()


def test_a_key_twice_is_refused_wherever_it_stands(folder: Path) -> None:
    inner = json.dumps({"b": 1})
    (folder / "x.json").write_text(f'{{"a": [{inner[:-1]}, "b": 2}}]}}')
    with pytest.raises(InputError, match='the key "b" is there twice'):
        read_json(folder / "x.json")
