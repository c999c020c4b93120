"""The reference pages hold what the code says, and no page names an option that there is not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pseudohealthy.bids_app.output_dataset import DESCRIPTION, DESCRIPTIONS
from pseudohealthy.bids_app.records import TABLE
from pseudohealthy.catalogue.measures import MEASURES
from pseudohealthy.config import preprocessing, settings
from pseudohealthy.data.prepared import ARRAYS, MANIFEST
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.synthesis.output_files import output_files
from pseudohealthy.training import run_folder
from scripts.make_reference import BLOCK, COMMANDS, GROUPS, TABLES, filled, table
from scripts.make_reference import PAGES as PAGES_MADE

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])
CODE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """What stands under a heading of the second level."""
    return re.split(r"^## ", text.split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


def options(command: Any) -> set[str]:
    return {name for each in command.params if each.param_type_name == "option" for name in each.opts}


@pytest.mark.parametrize("name", PAGES_MADE)
def test_a_page_holds_what_the_code_says(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert filled(text) == text, f"{name}: run `make reference`"


def test_every_table_of_the_code_stands_in_one_page() -> None:
    marks = [mark for name in PAGES_MADE for _, mark, _ in BLOCK.findall((ROOT / name).read_text("utf-8"))]
    assert sorted(marks) == sorted(TABLES)


def test_a_changed_an_emptied_and_an_unknown_table_are_noticed() -> None:
    text = page("reference/settings")
    assert filled(text.replace("| `width` | `32` |", "| `width` | `33` |")) == text
    assert filled(BLOCK.sub(r"\1\3", text)) == text
    with pytest.raises(KeyError, match="settings Nothing"):
        filled("<!-- table: settings Nothing -->\n<!-- /table -->\n")
    with pytest.raises(ValueError, match="would be empty"):
        table(("setting", "default"), [])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_named_and_no_other(name: str) -> None:
    rows = re.findall(r"^\| (`-.*?) \|", section(page("reference/cli"), name), flags=re.MULTILINE)
    named = {option for row in rows for option in re.findall(r"`(-[^`]+)`", row)}
    assert named == options(COMMANDS[name]) - {"--help"}
    assert named


def test_every_command_has_its_section_and_no_other() -> None:
    assert re.findall(r"^## (.*)$", page("reference/cli"), flags=re.MULTILINE) == list(COMMANDS)
    assert len(COMMANDS) == 12


@pytest.mark.parametrize("group", GROUPS)
def test_every_setting_has_a_row_and_says_what_it_is(group: str) -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+) \|$", section(page("reference/settings"), group), re.MULTILINE
    )
    assert [name for name, *_ in rows] == list(GROUPS[group].model_fields)
    assert all(cell.strip() for row in rows for cell in row)


def test_defaults_and_limits_of_settings_are_those_of_the_models() -> None:
    text = page("reference/settings")
    assert "| `width` | `32` | whole number, at least 4, at most 512 |" in text
    assert "| `images` | `null` | whole number, above 0, at most 1000000000 or `null` |" in text
    assert "| `fractions` | `[0.6, 0.15, 0.25]` | list of 3 |" in text
    assert "| `clip_region` | `all` | `all`, `brain` |" in text
    assert "| method `unpaired` | `losses.gan_image=2.0` |" in text


def test_every_file_is_named() -> None:
    of_image = [
        path.name
        for path in output_files(Path(), "sub-01_FLAIR.nii.gz", blend=True, uncertainty=True).values()
    ]
    of_run = (
        run_folder.SETTINGS,
        run_folder.STATE,
        run_folder.METRICS,
        run_folder.CLOCK,
        run_folder.WEIGHTS,
        run_folder.AVERAGED,
        run_folder.SNAPSHOTS,
    )
    names = [*of_image, *of_run, MANIFEST, DESCRIPTION, TABLE, *(f"`{name}.npy`" for name in ARRAYS)]
    text = page("reference/files")
    assert len(names) > 20
    assert [name for name in names if name not in text] == []


def test_every_measure_is_explained() -> None:
    result = page("concepts/measures")
    named = set(re.findall(r"`([\w.]+)`", result))
    # the page names a group (`truth_transplant`), or each of its measures; what has no ideal, beside another
    alone = [key for key, measure in MEASURES.items() if measure.ideal]
    groups = {
        key: {key, key.partition(".")[0]} for key in alone if not key.endswith(("_quantised", "_auroc"))
    }
    assert len(groups) > 10
    assert [key for key, names in groups.items() if not names & named] == []


def test_every_kind_of_image_is_told_of_in_the_derivatives() -> None:
    text = page("reference/files")
    assert len(DESCRIPTIONS) > 1
    assert [name for name in DESCRIPTIONS if name not in text] == []


def lines() -> Iterator[tuple[str, list[str]]]:
    """Page and words of each command line of ours: in blocks of shell, and between backticks."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        blocks = "".join(block for language, block in CODE.findall(text) if language in ("", "bash")).replace(
            "\\\n", " "
        )
        inline = re.findall(r"`(pseudohealthy(?:-bids)? [^`]+)`", CODE.sub("", text))
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
    takes: dict[str, Callable[..., object]] = {"prepare": preprocessing, "train": settings}
    for command, read in takes.items():
        given = [
            [after for word, after in pairwise(words) if word == "--set"]
            for _, words in lines()
            if words[1:2] == [command] and "--set" in words
        ]
        assert given, command
        for each in given:
            read(overrides=each)


def test_every_refusal_that_is_explained_is_one_of_the_program_s() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    code = re.sub(r"\{[^{}\n]*\}", "", re.sub(r'"\s*\n\s*f?"', "", code))
    first_cells = re.findall(r"^(?:\| |- )(`.*?)(?: \||: )", page("howto/broken_inputs"), re.MULTILINE)
    result = [quoted for cell in first_cells for quoted in re.findall(r"`([^`]+)`", cell)]
    parts = [part.strip(" ;,()") for quoted in result for part in re.split(r"\.\.\.|\d+|\?|, 2\)", quoted)]
    assert len(result) > 40
    assert [part for part in parts if len(part) > 3 and part not in code] == []


def test_the_foot_of_every_page_says_what_the_images_are_not_for() -> None:
    assert f"copyright: {RESEARCH_USE}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_what_happens_with_each_input_is_held_by_a_test_that_there_is() -> None:
    rows = re.findall(r"^\| (.+) \| (.+) \| `(.+)::(test_\w+)` \|$", page("reference/inputs"), re.MULTILINE)
    assert len(rows) > 70
    assert {happens for _, happens, _, _ in rows} == {"taken", "taken with a warning", "refused"}
    for what, _, file, name in rows:
        assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), what
