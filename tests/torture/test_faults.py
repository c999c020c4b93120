"""What the machine does to a run: one clear line, nothing lost or half written, a rerun that succeeds."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.cohorts import bids, library, participants, study
from fixtures.models import TINY, saved
from fixtures.scans import exported, flair
from pseudohealthy.files import write_json
from pseudohealthy.provenance import provenance
from torture.machine import Ended, alone, disk, mount, obey_permissions, own_mounts, run, start

ROOT = Path(__file__).resolve().parents[2]
RESULTS = "PSEUDOHEALTHY_RELIABILITY"  # environment variable: the folder that gets `faults.json`
FIT = ["--set", "slice_shape=[64, 48]"]
SHORT = [f"--set={group}.{key}={value}" for group, values in TINY.items() for key, value in values.items()]
ON_CPU = ["--device", "cpu"]
FEW = {  # of the experiment of all methods
    "methods": [{"method": "paired"}, {"method": "inpainter"}],
    "judges": {
        name: {"training": {"seed": seed, "images": 24}}
        for seed, name in enumerate(("first", "second", "third", "held_out"))
    },
    "resegmentation_steps": 1,
}
SPLITS = ("sub-01\ttrain", "sub-02\ttrain", "sub-03\tval", "sub-04\ttest")
PATIENT = "patients/sub-{0:02d}/anat/sub-{0:02d}_FLAIR.nii.gz"
IMAGE = "study/sub-01/anat/sub-01_FLAIR.nii.gz"

# What a command is given behind its name, by the folders of its inputs and of its outputs
COMMANDS: dict[str, Callable[[Path, Path], list[Any]]] = {
    "phantom": lambda _, out: ["phantom", "-o", out, "--patients", 1, "--spacing", 6],
    "prepare": lambda given, out: ["prepare", given / "patients", "-o", out, *FIT],
    "train": lambda given, out: [
        *("train", given / "prepared", "-o", out, *SHORT, "--set=training.images=4", *ON_CPU)
    ],
    "synthesize": lambda given, out: [
        *("synthesize", given / IMAGE, "-o", out, "--weights", given / "weights", *ON_CPU)
    ],
    "dicom": lambda given, out: [
        *("synthesize", given / "dicom", "-o", out, "--weights", given / "weights", *ON_CPU)
    ],
    "transplant": lambda given, out: [
        *("transplant", given / PATIENT.format(1), given / PATIENT.format(2), "--count", 2),
        *("--masks", given / "masks", "-o", out, "--weights", given / "weights", *ON_CPU),
    ],
    "evaluate": lambda given, out: [
        *("evaluate", given / "prepared", "-o", out, "--weights", given / "weights", "--split", "test"),
        *("--resegmentation-steps", 1, *ON_CPU),
    ],
    "export": lambda given, out: ["export", "-o", out, "--weights", given / "weights", "--format", "monai"],
    "participant": lambda given, out: [
        *(given / "study", out, "participant", "--weights", given / "weights", "--jobs", 1, *ON_CPU)
    ],
    "group": lambda given, out: [given / "study", out, "group"],
    "reproduce": lambda given, out: ["reproduce", given / "experiment.yaml", "-o", out, *ON_CPU],
}
BIDS = ("participant", "group")
QUICK = ("synthesize", "prepare")
LONG = (
    "phantom",
    "prepare",
    "train",
    "synthesize",
    "dicom",
    "transplant",
    "evaluate",
    "export",
    "participant",
    "group",
    "reproduce",
)
# Which files of a rerun may differ from those of a run that met nothing: they hold times and machines, or,
# as torch writes them, the name of a temporary file
TIMED = (
    *("report.json", "report.html", ".lock", "clock.json", "status.tsv", "summary.json", ".pt"),
    *("done.json", "table1.json", "table1.md", "table1.tsv"),
)
counted: Counter[str] = Counter()


def each(quick: tuple[str, ...] = QUICK, long: tuple[str, ...] = LONG) -> pytest.MarkDecorator:
    """The commands of a test; those that `make test` leaves to the long form are marked."""
    names = [pytest.param(name, marks=[] if name in quick else pytest.mark.torture) for name in long]
    return pytest.mark.parametrize("name", names)


def command(name: str, given: Path, out: Path) -> list[Any]:
    """A program and its arguments."""
    program = "pseudohealthy-bids" if name in BIDS else "pseudohealthy"
    return [program, *COMMANDS[name](given, out)]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, patients, a prepared cohort and a study."""
    folder = tmp_path_factory.mktemp("given")
    saved(folder / "weights")
    study(folder / "study", 2)
    library(folder / "masks", 2)
    participants(bids(folder / "patients", 4), "participant_id\tsplit", *SPLITS)
    exported(folder / "dicom", flair())
    smoke = yaml.safe_load((ROOT / "configs/smoke.yaml").read_text(encoding="utf-8"))
    (folder / "experiment.yaml").write_text(yaml.safe_dump({**smoke, **FEW}), encoding="utf-8")
    assert alone(run, command("prepare", folder, folder / "prepared")).code == 0
    return folder


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may look into."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module", autouse=True)
def figures() -> Iterator[None]:
    """Writes how many runs met which fault and kept the promise, where a folder for it is named."""
    yield
    if not (folder := os.environ.get(RESULTS)):
        return
    path, made_by = Path(folder) / "faults.json", provenance()
    before = json.loads(path.read_text()) if path.exists() else {}
    if before.get("commit") == made_by["commit"]:  # another part of the same campaign
        counted.update(before["by_fault"])
    facts = {"runs": sum(counted.values()), "by_fault": dict(sorted(counted.items()))}
    write_json(path, {**facts, **made_by})


def begun(name: str, given: Path, out: Path) -> None:
    """What has to be in `out` before the command: of `group`, all that `participant` makes."""
    if name == "group":
        assert run(command("participant", given, out)).code == 0


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def check_failed(ended: Ended, *, code: tuple[int, ...] = (1, 2)) -> None:
    """One line says what failed; a data set may have two, of an image and of the data set."""
    assert ended.code in code, ended
    assert "Traceback" not in ended.err, ended.err
    said = [line for line in ended.lines if line.startswith(("pseudohealthy", "failed: "))]
    assert 1 <= len(said) <= 3, ended.err
    assert len(ended.lines) <= 4, ended.err


def check_whole(out: Path, whole: dict[str, bytes], before: dict[str, bytes]) -> None:
    """Nothing that was there is lost, and nothing is half written."""
    now = contents(out)
    assert before.items() <= now.items(), "something is lost"
    for name, content in now.items():
        assert ".part" not in name, name
        if "logs" in Path(name).parts and name.endswith(".json"):  # of an image that failed, or is done
            json.loads(content)
            continue
        if name in whole and not name.endswith(TIMED) and name not in before and not growing(name):
            assert content == whole[name], f"{name} is half written"


def growing(name: str) -> bool:
    """Whether a file may be there before a training has ended, and differ then."""
    return name.endswith((".jsonl", ".safetensors", "config.json", "README.md", ".png"))


def check_rerun(name: str, given: Path, out: Path, whole: dict[str, bytes]) -> None:
    """The same command succeeds, and comes to the same files."""
    ended = run(command(name, given, out))
    assert ended.code == 0, ended
    now = contents(out)
    assert now.keys() == whole.keys()
    timed = (*TIMED, "group_report.html", "metrics.jsonl") if name != "synthesize" else TIMED
    other = [key for key in now if now[key] != whole[key] and not key.endswith(timed) and "logs" not in key]
    assert not other, other


def reference(name: str, given: Path, place: Path) -> dict[str, bytes]:
    """The files of a run that nothing happens to, in a folder that is then removed."""
    out = place / "out"
    begun(name, given, out)
    ended = run(command(name, given, out))
    assert ended.code == 0, ended
    whole = contents(out)
    shutil.rmtree(out)
    return whole


def full(name: str, given: Path, place: Path, sizes: list[float]) -> int:
    """The disk is full after these fractions of what a run writes; then there is room."""
    own_mounts()
    here = disk(place / "disk", "200m")
    whole, out, met = reference(name, given, here), here / "out", 0
    for fraction in sizes:
        begun(name, given, out)
        before = contents(here)
        used = shutil.disk_usage(here).used
        size = used + 4096 + int(fraction * sum(map(len, whole.values())))
        mount("-o", f"remount,size={size}", here)
        ended = run(command(name, given, out))
        if ended.code:
            met += 1
            check_failed(ended, code=(1,))
            check_whole(here, {f"out/{key}": value for key, value in whole.items()}, before)
        mount("-o", "remount,size=200m", here)
        if ended.code:
            check_rerun(name, given, out, whole)
        shutil.rmtree(out)
    return met


@each()
def test_a_full_disk(name: str, given: Path, place: Path, request: pytest.FixtureRequest) -> None:
    marked = request.node.get_closest_marker("torture") is not None
    sizes = [0.0, 0.3, 0.6, 0.9] if marked or os.environ.get(RESULTS) else [0.3]
    met = alone(full, name, given, place, sizes)
    assert met
    counted["full disk"] += met


def read_only(name: str, given: Path, place: Path) -> None:
    own_mounts()
    here = disk(place / "disk", "200m")
    whole = reference(name, given, here)
    begun(name, given, here / "out")
    (here / "out").mkdir(exist_ok=True)
    before = contents(here)
    mount("-o", "remount,ro", here)
    check_failed(run(command(name, given, here / "out")))
    assert contents(here) == before
    mount("-o", "remount,rw", here)
    check_rerun(name, given, here / "out", whole)


@each(quick=("synthesize",))
def test_a_disk_that_is_read_only(name: str, given: Path, place: Path) -> None:
    alone(read_only, name, given, place)
    counted["read-only disk"] += 1


def no_permission(name: str, given: Path, place: Path) -> None:
    whole = reference(name, given, place)
    out = place / "out"
    begun(name, given, out)
    out.mkdir(exist_ok=True)
    before = contents(place)
    for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    check_failed(run(command(name, given, out), obey_permissions))
    for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    assert contents(place) == before
    check_rerun(name, given, out, whole)


@each(quick=("prepare",))
def test_a_folder_without_permission(name: str, given: Path, place: Path) -> None:
    alone(no_permission, name, given, place)
    counted["no permission to write"] += 1


def unreadable(name: str, path: str, given: Path, place: Path) -> Ended:
    """An input that a command reads is there, but may not be read."""
    own = shutil.copytree(given, place / "given", symlinks=True)
    (own / path).chmod(0)
    return run(command(name, own, place / "out"), obey_permissions)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("synthesize", IMAGE),
        *(
            pytest.param(name, path, marks=pytest.mark.torture)
            for name, path in (
                ("synthesize", "weights/model.safetensors"),
                ("prepare", "patients/participants.tsv"),
                ("transplant", "patients/participants.tsv"),
                ("transplant", "masks"),
                ("transplant", "masks/derivatives/masks/sub-B01/anat/sub-B01_label-L_mask.nii.gz"),
                ("train", "prepared/images.npy"),
                ("evaluate", "prepared/manifest.json"),
                ("participant", IMAGE),
            )
        ),
    ],
)
def test_an_input_without_permission(name: str, path: str, given: Path, place: Path) -> None:
    check_failed(alone(unreadable, name, path, given, place))
    counted["no permission to read"] += 1


def vanish(folder: Path, below: Path, nth: int) -> Callable[[], None]:
    """Move a folder away when a file below another is opened for the n-th time."""
    count = [0]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not str(arguments[0]).startswith(str(below)):
            return
        count[0] += 1
        if count[0] == nth:
            with contextlib.suppress(OSError):
                folder.rename(folder.with_name("vanished"))

    return lambda: sys.addaudithook(hook)


def vanished(name: str, given: Path, place: Path, moments: list[int]) -> int:
    (place / "moment0" / "share").mkdir(parents=True)
    # as deep as the others, for outputs name their inputs by relative paths
    whole = reference(name, given, place / "moment0" / "share")
    met = 0
    for nth in moments:
        here = place / f"moment{nth}" / "share"
        here.mkdir(parents=True)
        begun(name, given, here / "out")
        ended = run(command(name, given, here / "out"), vanish(here, here, nth))
        if ended.code:
            met += 1
            check_failed(ended)
        if not here.exists():
            here.with_name("vanished").rename(here)
        if ended.code:
            check_rerun(name, given, here / "out", whole)
        shutil.rmtree(here.parent)
    return met


@each()
def test_a_share_that_vanishes_in_mid_run(
    name: str, given: Path, place: Path, request: pytest.FixtureRequest
) -> None:
    marked = request.node.get_closest_marker("torture") is not None
    moments = [1, 3, 8, 21] if marked or os.environ.get(RESULTS) else [3]
    counted["vanished share"] += alone(vanished, name, given, place, moments)


def inputs_vanish(given: Path, place: Path) -> tuple[Ended, Ended]:
    own = shutil.copytree(given, place / "given")
    second = own / "study/sub-02/anat"
    argv = command("participant", own, place / "out")
    first = run(argv, vanish(own / "study/sub-02", second, 1))
    (own / "study/vanished").rename(own / "study/sub-02")
    return first, run(argv)


def test_a_data_set_that_vanishes_in_mid_run(given: Path, place: Path) -> None:
    first, again = alone(inputs_vanish, given, place)
    check_failed(first, code=(1,))
    assert "1 done, 0 skipped, 1 failed" in first.out
    assert again.code == 0
    assert "1 done, 1 skipped, 0 failed" in again.out
    counted["vanished data set"] += 1


def two(name: str, given: Path, place: Path) -> list[Ended]:
    whole = reference(name, given, place)
    begun(name, given, place / "out")
    argv = command(name, given, place / "out")
    both = [start(argv), start(argv)]
    ended = [wait() for wait in both]
    now = contents(place / "out")
    assert now.keys() == whole.keys()
    assert [key for key in now if growing(key) and now[key] != whole[key] and "metrics" not in key] == []
    return ended


@each(quick=("train",))
def test_two_at_once_on_one_output(name: str, given: Path, place: Path) -> None:
    """Both end well, or one is refused; the files are those of one run."""
    ended = alone(two, name, given, place)
    codes = sorted(each.code for each in ended)
    assert codes in ([0, 0], [0, 1], [0, 2]), ended
    assert all("Traceback" not in each.err for each in ended), ended
    counted["two at once"] += 1


def clock(name: str, given: Path, place: Path, year: int) -> tuple[Ended, Ended]:
    """All files are as if written in another year, before a run and before the next."""
    seconds = (year - 1970) * 365.25 * 24 * 3600
    own, out = shutil.copytree(given, place / "given"), place / "out"
    ended = []
    for _ in range(2):
        for path in (*own.rglob("*"), *out.rglob("*")):
            os.utime(path, (seconds, seconds))
        ended.append(run(command(name, own, out)))
    return ended[0], ended[1]


@pytest.mark.parametrize("year", [1971, pytest.param(2100, marks=pytest.mark.torture)])
@each(quick=("participant",), long=("prepare", "train", "synthesize", "evaluate", "participant"))
def test_a_clock_that_was_wrong(name: str, year: int, given: Path, place: Path) -> None:
    """With the clock set back, files are from the future; what is done is so by content, never by time."""
    first, again = alone(clock, name, given, place, year)
    assert first.code == 0, first
    if name in ("synthesize", "evaluate"):
        check_failed(again, code=(2,))
    else:
        assert again.code == 0, again
    if name == "participant":
        assert "0 done, 2 skipped, 0 failed" in again.out
    counted["wrong clock"] += 1


def nowhere_to_write(name: str, given: Path, place: Path) -> Ended:
    """Neither a home nor a folder for temporary files."""
    own_mounts()
    here = disk(place / "disk", "200m")
    mount("--rbind", "/tmp", "/tmp")
    mount("-o", "remount,ro,bind", "/tmp")
    mount("-t", "tmpfs", "-o", "ro", "none", "/var/tmp")

    def homeless() -> None:
        for variable in ("TMPDIR", "TEMP", "TMP"):
            os.environ.pop(variable, None)
        os.environ["HOME"], tempfile.tempdir = "/proc/none", None
        os.chdir("/proc")

    begun(name, given, here / "out")
    return run(command(name, given, here / "out"), homeless)


@each(quick=("synthesize",))
def test_no_home_and_no_folder_for_temporary_files(name: str, given: Path, place: Path) -> None:
    ended = alone(nowhere_to_write, name, given, place)
    if name == "dicom":  # dcm2niix writes its volume somewhere
        check_failed(ended, code=(1,))
        assert "set TMPDIR to a folder with room" in ended.err
    else:
        assert ended.code == 0, ended
    counted["no home, no temporary folder"] += 1


def nobody_listens(name: str, given: Path, place: Path) -> tuple[Ended, bool]:
    whole = reference(name, given, place)
    begun(name, given, place / "out")

    def close() -> None:
        receive, send = os.pipe()
        os.close(receive)
        os.dup2(send, 1)

    ended = run(command(name, given, place / "out"), close)
    return ended, contents(place / "out").keys() == whole.keys()


@each(quick=("synthesize",))
def test_a_reader_that_stops_reading(name: str, given: Path, place: Path) -> None:
    """As behind `| head -1`: no traceback, and the files are there or a rerun makes them."""
    ended, whole = alone(nobody_listens, name, given, place)
    assert ended.code in (0, 1), ended
    assert "Traceback" not in ended.err, ended.err
    assert len(ended.lines) <= 2, ended.err
    assert whole or name in ("dicom", "participant", "transplant", "reproduce")  # end at the first line
    counted["closed output"] += 1


PLAIN = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0", "HOME": "/proc/none"}


@pytest.mark.parametrize(
    "without", [(), pytest.param(("HOME",), marks=pytest.mark.torture)], ids=["unwritable home", "no home"]
)
def test_a_plain_locale_and_no_home(given: Path, place: Path, without: tuple[str, ...]) -> None:
    """A fresh Python, since a locale is read when it begins."""
    environment = {**os.environ, **PLAIN, "PYTHONPATH": str(ROOT / "src")}
    for variable in (*without, "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        environment.pop(variable, None)
    image = place / "sub-é_FLAIR.nii.gz"
    shutil.copy(given / IMAGE, image)
    argv = [
        "pseudohealthy",
        "synthesize",
        image,
        "-o",
        place / "out",
        "--weights",
        given / "weights",
        *ON_CPU,
    ]
    program = "from pseudohealthy.cli.program import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, argv[1:])],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b""), done
    assert (
        json.loads((place / "out/sub-é_desc-pseudohealthy_report.json").read_text("utf-8"))["input"]
        == image.name
    )
    counted["plain locale"] += 1
