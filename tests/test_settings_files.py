"""Settings from files and overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pseudohealthy.config import settings
from pseudohealthy.errors import InputError
from pseudohealthy.settings_files import assignments, merged, read_yaml


def test_overrides_are_read_as_yaml() -> None:
    texts = [
        "training.images=800",
        "training.betas=[0.3, 0.9]",
        "losses.dice=squared",
        "training.images=null",
    ]
    expected = {"training": {"images": None, "betas": [0.3, 0.9]}, "losses": {"dice": "squared"}}
    assert assignments(texts) == expected
    assert assignments(["a = b=c"]) == {"a": "b=c"}
    # YAML 1.1 reads 1e-3 as a text
    assert settings(overrides=["training.learning_rate=1e-3"]).training.learning_rate == 1e-3


@pytest.mark.parametrize("text", ["training.images", "=5", ""])
def test_an_override_that_assigns_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=rf"^--set {text}: expected KEY=VALUE"):
        assignments([text])


def test_an_override_that_is_not_yaml_is_refused() -> None:
    with pytest.raises(InputError, match=r"^--set training\.betas=\[1: not YAML \(.*\)$"):
        assignments(["training.betas=[1"])


def test_merging_keeps_what_is_not_named_and_changes_neither_side() -> None:
    base: dict[str, Any] = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    over: dict[str, Any] = {"a": {"c": {"f": 4}}, "e": {"g": 5}}
    assert merged(base, over) == {"a": {"b": 1, "c": {"d": 2, "f": 4}}, "e": {"g": 5}}
    assert base == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    assert over == {"a": {"c": {"f": 4}}, "e": {"g": 5}}


def test_a_file_of_settings(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("# nothing but this\n", encoding="utf-8")
    assert read_yaml(path) == {}
    path.write_text("method: judge\ntraining: {images: 16}\n", encoding="utf-8")
    assert read_yaml(path) == {"method": "judge", "training": {"images": 16}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- method\n- judge\n", "expected `key: value` lines, found a list"),
        (b"judge", "expected `key: value` lines, found a str"),
        (b"training: {images: 16", "not YAML"),
        (b"a: !!python/object/apply:os.getcwd []", "not YAML"),
        (b"\x1f\x8b\xff", "cannot be read as a settings file"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as failure:
        read_yaml(path)
    assert message in str(failure.value)
    assert str(path) in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_missing_file_of_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read as a settings file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read as a settings file"):
        read_yaml(tmp_path)
