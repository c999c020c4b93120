"""The BIDS-App as a person meets it: a whole data set with broken images in it, processed and reported on."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from fixtures.bids_validator import errors
from fixtures.cohorts import NO_IMAGE, break_images, image, study, touch, tree
from fixtures.models import saved
from pseudohealthy import __version__
from pseudohealthy.cli.bids_app import EXITS, spread
from pseudohealthy.cli.program import bids_main as main
from pseudohealthy.errors import RESEARCH_USE

PROGRAM = [sys.executable, "-m", "pseudohealthy.cli.bids_app"]
GOOD = 6
HERE = ["--device", "cpu", "--jobs", "1"]  # in this process, which has loaded torch already


class Ran(NamedTuple):
    """What became of a command."""

    code: object
    out: str
    err: str


def run(*arguments: object) -> Ran:
    """The program's own entry point with these arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["pseudohealthy-bids", *map(str, arguments)])
        with (
            contextlib.redirect_stdout(io.StringIO()) as out,
            contextlib.redirect_stderr(io.StringIO()) as err,
            pytest.raises(SystemExit) as end,
        ):
            main()
    return Ran(end.value.code or 0, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Processed:
    """A data set of six good subjects, four broken ones and one without an image, and what became of it."""

    raw: Path
    out: Path
    weights: Path
    before: dict[str, str]
    reasons: dict[str, str]
    ran: Ran

    def again(self, *options: object) -> Ran:
        return run(self.raw, self.out, "participant", "--weights", self.weights, *HERE, *options)

    def status(self) -> pd.DataFrame:
        return pd.read_csv(self.out / "logs/status.tsv", sep="\t", keep_default_na=False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Processed:
    """Processed into the data set's own derivatives, which is the only place inside it that will do."""
    raw = study(tmp_path_factory.mktemp("app") / "study", GOOD)
    reasons = break_images(raw)
    touch(raw, "derivatives/other/sub-01/anat/sub-01_desc-other_FLAIR.nii.gz")
    out = raw / "derivatives/pseudohealthy"
    before = tree(raw, out)
    ran = run(raw, out, "participant", "--weights", weights, "--device", "cpu", "--jobs", "2")
    return Processed(raw, out, weights, before, reasons, ran)


def plain(text: str) -> str:
    """Without colours, boxes and line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text).split())


def refused(ran: Ran, *words: str) -> None:
    """Nothing was begun, and one line says why."""
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("pseudohealthy-bids: ")
    assert len(ran.err.splitlines()) == 1
    for word in words:
        assert word in ran.err


def test_broken_subjects_leave_the_results_of_others_and_a_reason_each(processed: Processed) -> None:
    assert processed.ran.code == 1
    done = [line for line in processed.ran.out.splitlines() if line.startswith("done: ")]
    assert len(done) == GOOD
    assert f"{GOOD} done, 0 skipped, {len(processed.reasons)} failed, 1 no image; see " in processed.ran.out
    assert processed.ran.out.splitlines()[-1] == RESEARCH_USE
    result = [line for line in processed.ran.err.splitlines() if not line.startswith("warning: ")]
    assert len(result) == len(processed.reasons) + 1
    assert sum(line.startswith(f"no image: {NO_IMAGE}: no FLAIR image; expected ") for line in result) == 1
    for subject, reason in processed.reasons.items():
        (line,) = [line for line in result if line.startswith(f"failed: {subject}: ")]
        assert reason in line
    images = list(processed.out.glob("sub-*/anat/*_desc-pseudohealthy_FLAIR.nii.gz"))
    assert sorted(path.parents[1].name for path in images) == [f"sub-{n:02d}" for n in range(1, GOOD + 1)]


def test_warnings_of_an_image_stand_on_the_screen_in_its_report_and_in_the_log(
    processed: Processed,
) -> None:
    reports = sorted(processed.out.glob("sub-*/anat/*_report.json"))
    warned = {
        path.name.partition("_")[0]: json.loads(path.read_text(encoding="utf-8"))["warnings"]
        for path in reports
    }
    said = [f"{name}/anat/{name}_FLAIR.nii.gz: {text}" for name, texts in warned.items() for text in texts]
    assert said
    lines = processed.ran.err.splitlines()
    result = [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]
    assert sorted(result) == sorted(said)
    table = processed.status().set_index("participant_id")["warnings"]
    assert {name: "; ".join(texts) or "n/a" for name, texts in warned.items()} == dict(table[list(warned)])
    assert set(table.drop(list(warned))) == {"n/a"}


def test_the_log_says_the_same(processed: Processed) -> None:
    table = processed.status().set_index("participant_id")
    assert (table["status"] == "done").sum() == GOOD
    for subject, reason in processed.reasons.items():
        assert table.loc[subject, "status"] == "failed"
        assert reason in str(table.loc[subject, "reason"])
    assert list(table.loc[NO_IMAGE, ["image", "status"]]) == ["n/a", "no_image"]
    assert "no FLAIR image" in str(table.loc[NO_IMAGE, "reason"])


def test_the_data_set_is_as_it_was(processed: Processed) -> None:
    assert tree(processed.raw, processed.out) == {**processed.before, "derivatives": "folder"}


def test_a_rerun_skips_what_is_done_and_tries_what_failed(processed: Processed) -> None:
    outputs = {name: at for name, at in tree(processed.out).items() if name.startswith("sub-")}
    again = processed.again()
    assert again.code == 1
    assert f"0 done, {GOOD} skipped, {len(processed.reasons)} failed, 1 no image; see " in again.out
    assert {name: at for name, at in tree(processed.out).items() if name.startswith("sub-")} == outputs


def test_the_official_validator_finds_no_error(processed: Processed) -> None:
    assert run(processed.raw, processed.out, "group").code == 0
    assert errors(processed.out) == []


def test_blends_of_runs_and_sessions_are_valid_too(tmp_path: Path, weights: Path) -> None:
    raw, out = study(tmp_path / "study", 1), tmp_path / "out"
    image(raw, "sub-02/ses-b/anat/sub-02_ses-b_acq-3d_run-1_FLAIR.nii", 9)
    result = run(raw, out, "participant", "--weights", weights, *HERE, "--blend")
    assert (result.code, result.err) == (0, "")
    assert (out / "sub-02/ses-b/anat/sub-02_ses-b_acq-3d_run-1_desc-blend_FLAIR.nii.gz").is_file()
    assert run(raw, out, "group").code == 0
    assert errors(out) == []


def test_the_validator_does_find_errors(tmp_path: Path) -> None:
    raw = study(tmp_path / "study", 1)
    assert errors(raw) == []
    touch(raw, "sub-01/anat/sub-01_banana.nii.gz")
    assert any("banana" in error for error in errors(raw))


def test_the_group_sees_who_is_done_and_who_is_not(processed: Processed) -> None:
    result = run(processed.raw, processed.out, "group")
    assert result.code == 0
    said, _, names = result.err.rstrip("\n").partition(
        ": not in the table, for the reasons on the page and in the status: "
    )
    assert said == "note"
    left_out = [f"{name}/anat/{name}_FLAIR.nii.gz" for name in processed.reasons]
    assert sorted(names.split(", ")) == sorted([*left_out, NO_IMAGE])
    assert str(processed.out / "group_report.html") in result.out
    table = pd.read_csv(processed.out / "group_lesions.tsv", sep="\t", na_values="n/a")
    assert table["participant_id"].tolist() == [f"sub-{n:02d}" for n in range(1, GOOD + 1)]
    report = json.loads((processed.out / "sub-03/anat/sub-03_desc-pseudohealthy_report.json").read_text())
    assert table.set_index("participant_id").loc["sub-03", "lesion_ml"] == report["lesion_ml"]
    assert set(table["lesion_caveat"]) == {report["lesion_caveat"]}
    columns = json.loads((processed.out / "group_lesions.json").read_text())
    assert list(columns) == list(table.columns)
    page = (processed.out / "group_report.html").read_text()
    assert page.count(f"Lesion volumes: {report['lesion_caveat']}.") == 1
    for subject, reason in {**processed.reasons, NO_IMAGE: "no FLAIR image"}.items():
        assert re.search(f"<b>{subject}[^<]*</b>: [^<]*{re.escape(reason)}", page)


def test_only_who_is_asked_for(tmp_path: Path, weights: Path) -> None:
    raw, out = study(tmp_path / "study", 4), tmp_path / "out"
    image(raw, "sub-01/ses-b/anat/sub-01_ses-b_FLAIR.nii.gz", 9)
    before = tree(raw)
    common = [raw, out, "participant", "--weights", weights, *HERE]
    assert run(*common, "--participant-label", "sub-02", "03").code == 0
    assert sorted(path.name for path in out.glob("sub-*")) == ["sub-02", "sub-03"]
    assert run(*common, "--shard", "2/2").code == 0
    assert sorted(path.name for path in out.glob("sub-*")) == ["sub-02", "sub-03", "sub-04"]
    assert run(*common, "--session-label", "b").code == 0
    assert [path.name for path in (out / "sub-01").iterdir()] == ["ses-b"]
    status = pd.read_csv(out / "logs/status.tsv", sep="\t").set_index("image")["status"]
    assert status["sub-01/anat/sub-01_FLAIR.nii.gz"] == "not tried yet"
    assert (status == "done").sum() == 4
    assert run(*common, "--shard", "9/9", "--jobs", "2").out.startswith("0 done, 0 skipped, 0 failed")
    assert tree(raw) == before


def test_what_cannot_be_begun_is_told_with_exit_code_2(tmp_path: Path, weights: Path) -> None:
    raw, out = study(tmp_path / "study", 1), tmp_path / "out"
    to = ["participant", "--weights", weights]
    refused(run(raw, out, *to, "--participant-label", "01", "99"), "--participant-label", "has no sub-99")
    refused(run(raw, out, *to, "--session-label", "1"), "--session-label", "has no ses-1")
    touch(raw, "sub-02/anat/sub-02_T1w.nii.gz")
    refused(run(raw, out, *to, "--participant-label", "02"), "no FLAIR image there of sub-02; expected sub-*")
    refused(run(raw, out, *to, "--shard", "3/2"), "--shard 3/2: expected I/N")
    refused(run(raw, out, *to, "--shard", "1/2", "--dask", "tcp://x:1"), "expected one of them")
    refused(run(raw, raw / "out", *to), "lies inside the data set")
    refused(run(tmp_path / "none", out, *to), "none: no such folder")
    refused(run(raw, out, "participant", "--weights", tmp_path), "not a weights folder")
    refused(run(raw, out, "group"), "none of 2 subjects is processed there", "level participant first")
    refused(run(raw, out, "group", "--shard", "1/2"), "for the level participant")
    assert not out.exists()


def test_absence_is_no_error(tmp_path: Path, weights: Path) -> None:
    raw, out = study(tmp_path / "study", 1), tmp_path / "out"
    touch(raw, "sub-02/anat/sub-02_T1w.nii.gz", "sub-03/ses-b/anat/sub-03_ses-b_T2w.nii.gz")
    to = [raw, out, "participant", "--weights", weights, *HERE]
    result = run(*to)
    assert result.code == 0
    assert "1 done, 0 skipped, 0 failed, 2 no image; see " in result.out
    lines = [
        f"no image: sub-{n}: no FLAIR image; expected sub-{n}/[ses-*/]anat/sub-{n}_*FLAIR.nii.gz"
        for n in ("02", "03")
    ]
    assert sorted(result.err.splitlines()) == lines
    assert run(*to, "--participant-label", "01", "02").code == 0
    assert run(*to, "--shard", "2/3").code == 0


def test_images_of_one_name_are_processed_and_reported_each(tmp_path: Path, weights: Path) -> None:
    raw, out = study(tmp_path / "study", 1), tmp_path / "out"
    names = [f"sub-01/{folder}anat/sub-01_FLAIR.nii.gz" for folder in ("", "ses-1/", "ses-2/")]
    for number, name in enumerate(names[1:], 2):
        image(raw, name, number)
    to = [raw, out, "participant", "--weights", weights, *HERE]
    for more in ([], ["--overwrite"]):
        assert run(*to, *more).code == 0
        assert len(list(out.rglob("*_desc-pseudohealthy_FLAIR.nii.gz"))) == len(names)
        table = pd.read_csv(out / "logs/status.tsv", sep="\t").set_index("image")["status"]
        assert table.to_dict() == dict.fromkeys(names, "done")
    assert run(raw, out, "group").code == 0
    rows = pd.read_csv(out / "group_lesions.tsv", sep="\t").set_index("image")
    assert rows.index.tolist() == names
    assert rows["anomaly_mean"].nunique() == len(names)


def test_two_runs_at_once_both_end_well(tmp_path: Path, weights: Path) -> None:
    raw, out = study(tmp_path / "study", 3), tmp_path / "out"
    command = [*PROGRAM, raw, out, "participant", "--weights", weights, "--device", "cpu", "--jobs", "1"]
    runs = [
        subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    result = [each.communicate(timeout=120) for each in runs]
    assert [each.returncode for each in runs] == [0, 0], result
    counts = [re.search(r"(\d) done, (\d) skipped, 0 failed", out) for out, _ in result]
    done, skipped = (sum(int(each[group]) for each in counts if each) for group in (1, 2))
    assert (done, skipped) == (3, 3)
    status = pd.read_csv(out / "logs/status.tsv", sep="\t")["status"]
    assert status.tolist() == ["done"] * 3
    assert not [path for path in out.rglob(".*") if path.name != ".bidsignore"]


def run_in(locale: dict[str, str], *arguments: object) -> Ran:
    """The program in a process with this locale; with none, in this one."""
    if not locale:
        return run(*arguments)
    command = list(map(str, [*PROGRAM, *arguments]))
    result = subprocess.run(command, capture_output=True, env={**os.environ, **locale}, check=False)
    return Ran(result.returncode, result.stdout.decode(), result.stderr.decode())


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_names_of_any_bytes_in_any_locale(tmp_path: Path, weights: Path, locale: dict[str, str]) -> None:
    raw, out = study(tmp_path / "étude", 1), tmp_path / "faite à"
    image(raw, "sub-01/anat/sub-01_acq-é_FLAIR.nii.gz", 2)
    image(raw, "sub-01/anat/sub-01_acq-\udcea_FLAIR.nii.gz", 3)
    for command, code in (
        ([raw, out, "participant", "--weights", weights, *HERE], 1),
        ([raw, out, "group"], 0),
    ):
        result = run_in(locale, *command)
        assert "Traceback" not in result.err
        assert result.code == code, result.err
    status = pd.read_csv(out / "logs/status.tsv", sep="\t").set_index("image")
    assert status["status"].to_dict() == {
        "sub-01/anat/sub-01_FLAIR.nii.gz": "done",
        "sub-01/anat/sub-01_acq-é_FLAIR.nii.gz": "done",
        r"sub-01/anat/sub-01_acq-\xea_FLAIR.nii.gz": "failed",
    }
    assert (out / "sub-01/anat/sub-01_acq-é_desc-pseudohealthy_FLAIR.nii.gz").is_file()
    again = run(raw, out, "participant", "--weights", weights, *HERE)
    assert "0 done, 2 skipped, 1 failed" in again.out


@pytest.mark.parametrize(
    "arguments", [["raw"], ["raw", "out", "heal"], ["raw", "out", "participant", "--devise"]]
)
def test_what_the_command_line_does_not_know_is_told(arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "--help" in result.err
    assert "Traceback" not in result.err


def test_help_teaches_and_loads_no_torch() -> None:
    code = """
import sys
from pseudohealthy.cli.program import bids_main as main
for arguments in ["--version"], ["--help"], ["a", "b", "participant"]:
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit:
        assert "torch" not in sys.modules, arguments
"""
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.startswith(f"{__version__}\n")
    text = plain(shown.stdout)
    assert plain(EXITS) in text
    assert RESEARCH_USE in text
    for option in ("--participant-label", "--session-label", "--shard", "--dask", "--blend", "--overwrite"):
        assert option in text
    assert (
        "pseudohealthy-bids study study/derivatives/pseudohealthy participant --participant-label 01 02"
        in text
    )


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (
            "raw out participant --participant-label 01 02",
            "raw out participant --participant-label 01 --participant-label 02",
        ),
        (
            "raw out participant --session_label a b --blend",
            "raw out participant --session-label a --session-label b --blend",
        ),
        ("--participant-label 01 raw out group", "--participant-label 01 raw out group"),
        ("--participant-label group raw out group", "--participant-label group raw out group"),
        ("raw out participant --weights w --shard 1/2", "raw out participant --weights w --shard 1/2"),
        (
            "raw out participant --participant_label=01 02",
            "raw out participant --participant-label=01 --participant-label 02",
        ),
    ],
)
def test_labels_are_taken_as_bids_apps_take_them(given: str, taken: str) -> None:
    assert spread(given.split()) == taken.split()


def test_on_a_terminal_a_bar_and_only_the_failures(
    processed: Processed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the output for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    result = processed.again("--participant-label", "01", "nan")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", result.out + result.err)
    assert result.code == 1
    assert "skipped: " not in text
    assert "failed: sub-nan: " in text
    assert "2/2" in text


def test_the_outputs_lie_on_the_input_s_grid(processed: Processed) -> None:
    import nibabel as nib

    given = nib.load(processed.raw / "sub-01/anat/sub-01_FLAIR.nii.gz")
    made = nib.load(processed.out / "sub-01/anat/sub-01_desc-pseudohealthy_FLAIR.nii.gz")
    np.testing.assert_array_equal(given.affine, made.affine)
    assert given.shape == made.shape


def session(leader: int) -> list[str]:
    """Processes of a session that have not ended, as `/proc` lists them; the leader itself left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended meanwhile
            state, *numbers = path.read_text().rpartition(")")[2].split()
            if int(numbers[2]) == leader and int(path.parent.name) != leader and state != "Z":
                found.append((path.parent / "cmdline").read_text())
    return [each for each in found if each]  # one that is just ending has no command line any more


def wait_for(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not happens() and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("moment", "sent", "code"),
    [
        ("starting", signal.SIGINT, 130),
        ("writing", signal.SIGTERM, 143),
        pytest.param("starting", signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param("started", signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param("started", signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param("writing", signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_an_interruption_is_one_line_and_leaves_no_process_and_nothing_half_written(
    tmp_path: Path, weights: Path, moment: str, sent: signal.Signals, code: int
) -> None:
    """Ctrl-C comes to every process of a terminal, SIGTERM to the program alone."""
    raw, out = study(tmp_path / "study", 12), tmp_path / "out"
    options = ["--weights", str(weights), "--device", "cpu", "--jobs", "2"]
    process = subprocess.Popen(
        [*PROGRAM, str(raw), str(out), "participant", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a background job of a shell, as these tests may be, has SIGINT switched off
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    if moment == "writing":
        wait_for(lambda: list(out.rglob(".part-*")))
    else:
        wait_for(lambda: sum("spawn_main" in each for each in session(process.pid)) == 2)
        time.sleep(0.5 if moment == "started" else 0)
    send = os.killpg if sent == signal.SIGINT else os.kill
    send(process.pid, sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err == "pseudohealthy-bids: interrupted; the same command goes on where it was\n"
    assert session(process.pid) == []
    assert list(out.rglob(".part-*")) == []
