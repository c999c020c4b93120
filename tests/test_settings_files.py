"""Settings from files and overrides."""

from __future__ import annotations

import os
import time
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


MULTIPLYING = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MULTIPLYING, "more than 10000 values, aliases counted each time; give fewer"),
        ("a: &a [*a]", "more than 10000 values"),
        ("a: &a {<<: *a}", "more than 10000 values"),
        ("seeds: [" + "1, " * 20_000 + "1]", "more than 10000 values"),
        ("[" * 300_000, "line 1 is nested more than 20 levels deep; settings have two or three"),
        ("- " * 5000, "nested more than 20 levels deep"),
        ("{a: " * 5000, "nested more than 20 levels deep"),
        ("a: !mine 3", "not YAML (could not determine a constructor for the tag '!mine'"),
        ("a: 1\nb: 2024-02-30", "line 2: 2024-02-30 is no number or date that exists"),
        ("a: !!bool maybe", "line 1: maybe is no number or date that exists"),
        ("a: !!timestamp now", "line 1: now is no number or date that exists"),
        ("a: " + "9" * 5000, "9... is no number or date that exists"),
        ("a: 0x" + "f" * 5000, "line 1: a number of more than 64 bits"),
        ("a:\n  c: 1\n  d: 2\n  c: 3", "the key c is there twice, on lines 2 and 4; remove one"),
        ("a: 1\n'a': 2", "the key a is there twice, on lines 1 and 2"),
        ("7: 2", "line 1: the key 7 is not text; give a name, in quotes if need be"),
        ("yes: 2", "line 1: the key yes is not text"),
        ("? !!str [a]\n: 1", "line 1: the key of several values is not text"),
        ("a: 1\n" + "#" * 2**20, "larger than 1 MB, the most for such a file"),
    ],
)
def test_a_strangers_file_costs_neither_memory_nor_time(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(content, encoding="utf-8")
    began = time.process_time()
    with pytest.raises(InputError) as failure:
        read_yaml(path)
    assert time.process_time() - began < 10
    assert message in str(failure.value)
    assert str(failure.value).startswith(f"{path}: ")
    assert "\n" not in str(failure.value)
    assert len(str(failure.value)) < 400


def test_aliases_that_save_a_person_words_are_read(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n", encoding="utf-8")
    assert read_yaml(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}


def test_a_pipe_or_device_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(InputError, match="expected a file, found a folder, pipe or device"):
            read_yaml(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=" + "[" * 50_000, "nested more than 20 levels deep"),
        (".".join("a" * 3000) + "=1", "3000 keys deep, expected at most 20"),
        ("training.images=" + "9" * 5000, "is no number or date that exists"),
        ("a=2024-02-30", "2024-02-30 is no number or date that exists"),
        ("a={b: 1, b: 2}", "the key b is there twice, on lines 1 and 1"),
    ],
)
def test_an_override_has_the_limits_of_a_file(text: str, message: str) -> None:
    with pytest.raises(InputError) as failure:
        assignments([text])
    assert message in str(failure.value)
    assert str(failure.value).startswith(f"--set {text[:20]}")
    assert len(str(failure.value)) < 400


def test_a_long_value_is_shortened_in_a_message() -> None:
    with pytest.raises(InputError) as failure:
        settings(values={"method": "p" * 10_000})
    assert str(failure.value).startswith(f"settings: method is '{'p' * 79}...: Input should be")
