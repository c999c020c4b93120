"""The page on extensions: applied to a copy of the repository, as a reader would, its examples work."""

from __future__ import annotations

import filecmp
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from fixtures.cohorts import brain, lesion, write

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/howto/extend.md"
TEXT = PAGE.read_text(encoding="utf-8")
FOLDERS = ("src", "tests", "docs", "scripts", "results", "benchmarks", "configs", "cluster")
BLOCK = re.compile(
    r"^#### `([^`]+)`(?:, (after|before) `([^`]+)`)?\n\n```(?:python|text|markdown)\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
COUNT = re.compile(r"^\| (a \w+) \| (\d)( and its test)? \| ", re.MULTILINE)
# Beside the words of the page, to be done in seconds
SMALL = {
    "prepare": "--set slice_shape=[64,48]",
    "train": "--set training.images=8 --set training.batch_size=2 --set networks.width=4 "
    "--set networks.discriminator_width=4 --device cpu",
    "evaluate": "--resegmentation-steps 0 --device cpu",
}
# Those of the house that look at every method, measure and layout
OF_HOUSE = (
    *("tests/catalogue", "tests/docs/test_reference.py", "tests/test_config.py", "tests/data/test_cohort.py"),
    *("tests/methods/test_factory.py", "tests/evaluation/test_score.py", "tests/experiment/test_config.py"),
    *("tests/benchmarks/test_formulas.py", "tests/report/table1/test_tables.py"),
)


class Block(NamedTuple):
    """A new file, or lines next to a line of a file that is there."""

    path: str
    side: str
    line: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(text)]


def files(text: str) -> list[str]:
    return sorted({block.path for block in blocks(text)})


def copied(folder: Path) -> Path:
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, folder)
    return folder


def apply(text: str, clone: Path) -> None:
    """Do what the page says.

    Raises:
        AssertionError: it does not fit the files.
    """
    for path, side, line, code in blocks(text):
        file = clone / path
        if not side:
            assert not file.exists(), f"{PAGE.name}: {path} is no new file"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(code, encoding="utf-8")
            continue
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        count = lines.count(f"{line}\n")
        assert count == 1, f"{PAGE.name}: {path} has the line `{line}` {count} times, expected once"
        place = lines.index(f"{line}\n") + (side == "after")
        file.write_text("".join([*lines[:place], code, *lines[place:]]), encoding="utf-8")


def run(clone: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A Python module in the copy's code."""
    given = {"PYTHONPATH": str(clone / "src"), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=cwd or clone,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )


def succeed(clone: Path, *words: str, cwd: Path | None = None) -> str:
    done = run(clone, *words, cwd=cwd)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_tests(clone: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    return run(clone, "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *paths)


def commands() -> dict[str, list[str]]:
    """The page's lines of shell, by their command."""
    (block,) = re.findall(r"^```bash\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    lines = map(shlex.split, block.splitlines())
    return {words[1]: ["pseudohealthy", *words[1:], *SMALL[words[1]].split()] for words in lines}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with the page's three examples."""
    clone = copied(tmp_path_factory.mktemp("clone"))
    apply(TEXT, clone)
    return clone


@pytest.fixture(scope="module")
def prepared(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's commands run: with `COHORT`, and `prepared` by the first of them."""
    folder = tmp_path_factory.mktemp("reader")
    for number in range(1, 6):
        image = np.where(lesion() > 0, 300, brain(number)).astype(np.int16)
        write(folder / f"COHORT/case{number}_flair.nii.gz", image)
        write(folder / f"COHORT/case{number}_seg.nii.gz", lesion())
    succeed(clone, *commands()["prepare"], cwd=folder)
    return folder


def test_every_block_of_code_stands_under_the_name_of_its_file() -> None:
    fences = re.findall(r"^```(\w+)$", TEXT, re.MULTILINE)
    used = [language for language in fences if language in ("bash", "py")]  # at the end of the page
    assert len(blocks(TEXT)) == len(fences) - len(used) == 13


def test_the_first_table_counts_the_files() -> None:
    sections = {part.partition("\n")[0]: part for part in re.split(r"\n## (?=A )", TEXT)[1:]}
    counts = COUNT.findall(TEXT)
    assert [what for what, *_ in counts] == ["a method", "a measure", "a layout"]
    for what, count, test in counts:
        assert len(files(sections[what.capitalize()])) == int(count) + bool(test), what


def test_the_new_files_pass_their_own_tests(clone: Path) -> None:
    done = run_tests(clone, *(path for path in files(TEXT) if path.startswith("tests/")))
    assert done.returncode == 0, done.stdout
    assert " 8 passed" in f" {done.stdout.splitlines()[-1]}"


def test_what_is_written_is_in_the_form_of_the_house(clone: Path) -> None:
    code = [path for path in files(TEXT) if path.endswith(".py")]
    succeed(clone, "ruff", "format", "--no-cache", "--check", *code)
    succeed(clone, "ruff", "check", "--no-cache", *code)


def test_the_layout_is_read_by_its_name(prepared: Path) -> None:
    slices = pd.read_csv(prepared / "prepared/slices.tsv", sep="\t")
    assert sorted(set(slices["subject"])) == [f"case{number}" for number in range(1, 6)]
    assert (slices["label"] == "pathological").any()


def test_no_other_file_is_changed(clone: Path, prepared: Path) -> None:  # noqa: ARG001 - after its use
    there = [path.relative_to(clone) for path in clone.rglob("*") if path.is_file()]
    changed = {
        path.as_posix()
        for path in there
        if not (ROOT / path).exists() or not filecmp.cmp(ROOT / path, clone / path, shallow=False)
    }
    assert sorted(changed) == files(TEXT)


def test_a_line_that_is_not_there_is_named(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src/pseudohealthy/data/layouts", tmp_path / "src/pseudohealthy/data/layouts")
    of_layout = TEXT[TEXT.index("## A layout") :].replace("after `    brats,`", "after `    brat,`")
    with pytest.raises(AssertionError, match=r"layouts/__init__\.py has the line `    brat,` 0 times"):
        apply(of_layout, tmp_path)


def test_a_function_of_another_name_is_named(tmp_path: Path) -> None:
    for name in ("src", "tests/fixtures"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    apply(TEXT[TEXT.index("## A layout") :].replace("def read(", "def reads("), tmp_path)
    done = run_tests(tmp_path, "tests/data/layouts/test_flat.py")
    assert done.returncode == 1
    assert "has no attribute 'read'" in done.stdout


@pytest.fixture(scope="module")
def scores(clone: Path, prepared: Path) -> Path:
    """What the page's commands write of the method that they train."""
    for command in ("train", "evaluate"):
        succeed(clone, *commands()[command], cwd=prepared)
    return prepared / "scores"


@pytest.mark.slow
def test_the_method_is_trained_and_its_weights_synthesise(clone: Path, scores: Path) -> None:
    (code,) = re.findall(r"^```py\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    shown = "print(healthy.shape == slices.shape, healthy.min() >= 0, (healthy != slices).any())\n"
    (scores.parent / "reader.py").write_text(code + shown, encoding="utf-8")
    assert succeed(clone, "reader", cwd=scores.parent) == "True True True\n"
    config = json.loads((scores.parent / "run/weights/config.json").read_text(encoding="utf-8"))
    assert (config["settings"]["method"], config["images"]) == ("additive_map", 8)


@pytest.mark.slow
def test_the_measure_is_in_the_scores_and_in_the_text_of_table_1(clone: Path, scores: Path) -> None:
    values = pd.read_csv(scores / "volumes.tsv", sep="\t")["gradient_similarity"]
    assert values.between(0, 1, inclusive="right").all()
    summary = json.loads((scores / "summary.json").read_text(encoding="utf-8"))
    assert summary["gradient_similarity"]["mean"] == pytest.approx(values.mean())
    (scores / "table1.json").write_text(json.dumps({"rows": [{"method": "additive_map", **summary}]}))
    (scores / "show.py").write_text(
        "import json, pathlib\n"
        "from pseudohealthy.report.table1.tables import table1_markdown\n"
        "print(table1_markdown(json.loads(pathlib.Path('table1.json').read_text())))\n"
    )
    text = succeed(clone, "show", cwd=scores)
    assert "gradient similarity ↑" in text
    assert "additive map" in text


@pytest.mark.slow
def test_what_every_change_must_pass_is_passed(tmp_path: Path) -> None:
    """After `make reference`, as the page says."""
    clone = copied(tmp_path)
    apply(TEXT, clone)
    succeed(clone, "scripts.make_reference")
    succeed(clone, "mypy", "--cache-dir", os.devnull, *(p for p in files(TEXT) if p.endswith(".py")))
    done = run_tests(clone, *OF_HOUSE)
    assert done.returncode == 0, done.stdout
