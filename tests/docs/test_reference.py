"""The reference names every option, setting and file there is, and no page an option that there is not."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from pseudohealthy.bids_app.output_dataset import DESCRIPTION, DESCRIPTIONS
from pseudohealthy.bids_app.records import TABLE
from pseudohealthy.cli import bids_app, main
from pseudohealthy.config import (
    Losses,
    Networks,
    Preprocessing,
    Settings,
    Training,
    preprocessing,
    settings,
)
from pseudohealthy.data.manifest import FILE as MANIFEST
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.experiment.steps import Data, Experiment, Phantoms
from pseudohealthy.presets import METHODS, PREPROCESSING, PRESETS, PRESETS_OF_METHODS
from pseudohealthy.report.table1.model import HEADS
from pseudohealthy.synthesis.naming import output_files
from pseudohealthy.training import run_folder

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])
COMMANDS: dict[str, Any] = {
    **{f"pseudohealthy {name}": each for name, each in typer.main.get_command(main.app).commands.items()},  # type: ignore[attr-defined]
    "pseudohealthy-bids": typer.main.get_command(bids_app.app),
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GROUPS = (Preprocessing, Networks, Losses, Training, Settings, Experiment, Data, Phantoms)


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """What stands under a heading of the second level."""
    return re.split(r"^## ", text.split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


def options(command: Any) -> set[str]:
    return {name for each in command.params if each.param_type_name == "option" for name in each.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_named_and_no_other(name: str) -> None:
    rows = re.findall(r"^\| (`-.*?) \|", section(page("reference/cli"), name), flags=re.MULTILINE)
    named = {option for row in rows for option in re.findall(r"`(-[^`]+)`", row)}
    assert named == options(COMMANDS[name]) - {"--help"}


def test_every_command_has_its_section_and_no_other() -> None:
    assert re.findall(r"^## (.*)$", page("reference/cli"), flags=re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_every_setting_is_named_with_its_default(group: Any) -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) \|", section(page("reference/settings"), group.__name__), re.MULTILINE
    )
    assert {name: told.strip("`") for name, told in rows} == {
        name: _default(field) for name, field in group.model_fields.items()
    }


def test_what_presets_and_methods_change_is_told() -> None:
    tables = {
        **{f"preset `{name}`, preprocessing": {"": changes} for name, changes in PREPROCESSING.items()},
        **{f"preset `{name}`": changes for name, changes in PRESETS.items()},
        **{f"method `{name}`": changes for name, changes in METHODS.items()},
        **{
            f"preset `{preset}`, method `{name}`": each for (preset, name), each in PRESETS_OF_METHODS.items()
        },
    }
    changed = {
        who: "; ".join(
            f"`{f'{group}.{key}'.lstrip('.')}={json.dumps(value).strip(chr(34))}`"
            for group, values in changes.items()
            for key, value in values.items()
        )
        for who, changes in tables.items()
    }
    told = section(page("reference/settings"), "What presets and methods change")
    rows = dict(re.findall(r"^\| ((?:preset|method) .*?) \| (.*) \|$", told, re.MULTILINE))
    assert rows == {who: what for who, what in changed.items() if what}


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if hasattr(value, "model_dump"):
        return "see above" if isinstance(value, Networks | Losses | Training) else "see below"
    return json.dumps(value).replace('"', "")


def test_every_file_is_named() -> None:
    of_image = [path.name for path in output_files(Path(), "sub-01_FLAIR.nii.gz", blend=True).values()]
    of_run = (
        run_folder.SETTINGS,
        run_folder.STATE,
        run_folder.METRICS,
        run_folder.CLOCK,
        run_folder.WEIGHTS,
        run_folder.AVERAGED,
        run_folder.SNAPSHOTS,
    )
    told = page("reference/files")
    assert [name for name in (*of_image, *of_run, MANIFEST, DESCRIPTION, TABLE) if name not in told] == []


def test_every_measure_is_explained() -> None:
    told = page("concepts/measures")
    plain = [name for name in HEADS if not name.endswith(("_quantised", "_auroc", "_coordinates"))]
    assert [name for name in plain if f"`{name}`" not in told] == []


def test_every_kind_of_image_is_told_of_in_the_derivatives() -> None:
    told = page("reference/files")
    assert [name for name in DESCRIPTIONS if name not in told] == []


def lines() -> Iterator[tuple[str, list[str]]]:
    """Page and words of each command line of ours: in blocks of shell, and between backticks."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        blocks = "".join(
            block for language, block in BLOCK.findall(text) if language in ("", "bash")
        ).replace("\\\n", " ")
        inline = re.findall(r"`(pseudohealthy(?:-bids)? [^`]+)`", BLOCK.sub("", text))
        for line in [*blocks.splitlines(), *inline]:
            if re.match(r"\s*pseudohealthy(-bids)? ", line):
                yield path.name, shlex.split(re.split(r"\s+#|\|", line)[0])


def test_every_command_line_in_the_pages_has_options_that_there_are() -> None:
    found = list(lines())
    assert len(found) > 30
    for name, words in found:
        of_command = words[0] if words[0] == "pseudohealthy-bids" else " ".join(words[:2])
        used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert of_command in {*COMMANDS, "pseudohealthy --help", "pseudohealthy --version"}, (name, words)
        if of_command in COMMANDS:
            assert used <= options(COMMANDS[of_command]) | {"--help"}, (name, words)


def test_every_setting_in_the_pages_can_be_set() -> None:
    for _, words in lines():
        given = [after for word, after in pairwise(words) if word == "--set"]
        if given and words[1] == "prepare":
            preprocessing(overrides=given)
        if given and words[1] == "train":
            settings(overrides=given)


def test_every_refusal_that_is_explained_is_one_of_the_program_s() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    code = re.sub(r"\{[^{}\n]*\}", "", re.sub(r'"\s*\n\s*f?"', "", code))
    first_cells = re.findall(r"^(?:\| |- )(`.*?)(?: \||: )", page("howto/broken_inputs"), re.MULTILINE)
    told = [quoted for cell in first_cells for quoted in re.findall(r"`([^`]+)`", cell)]
    parts = [part.strip(" ;,()") for quoted in told for part in re.split(r"\.\.\.|\d+|\?|, 2\)", quoted)]
    assert len(told) > 40
    assert [part for part in parts if len(part) > 3 and part not in code] == []


def test_the_foot_of_every_page_says_what_the_images_are_not_for() -> None:
    assert f"copyright: {RESEARCH_USE}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_what_happens_with_each_input_is_held_by_a_test_that_there_is() -> None:
    rows = re.findall(r"^\| (.+) \| (.+) \| `(.+)::(test_\w+)` \|$", page("reference/inputs"), re.MULTILINE)
    assert len(rows) > 70
    assert {happens for _, happens, _, _ in rows} == {"taken", "taken with a warning", "refused"}
    for what, _, file, name in rows:
        assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), what
