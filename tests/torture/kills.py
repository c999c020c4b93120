"""The kill campaign: each command of the programs, killed at any moment and run again.

`python -m torture.kills` (with `src` and `tests` on the path) writes `results/reliability/kills.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from fixtures.brains import SHAPE, box, brain, write
from fixtures.cohorts import FITTING, bids, library, participants, study
from fixtures.models import saved
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.files import sha256_of, write_json
from pseudohealthy.provenance import provenance
from torture.fork_server import NEVER, ForkServer, Moment

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results" / "reliability" / "kills.json"
COMMAND = "python -m torture.kills"
SEED = 0
ROUND = 5  # moments of a command before it is another's turn
SPLITS = ((1, "train"), (2, "train"), (3, "val"), (4, "test"))
# What no two runs have in common: in JSON the values of these keys, in tables these columns, in text times
VARYING = ("seconds", "seconds_a_slice", "hours", "commit", "commits", "machine")
TIME = re.compile(
    r"<tr><th scope=.row.>seconds\b.*?</tr>"
    r"|\b(cpu|[0-9a-f]{40}(-dirty)?)( \||</td>)\s*(<td[^>]*>)?\s*[0-9.e-]+"  # hours, seconds of a step
    r"|\b[0-9.]+ (s|min|h)\b",
    re.DOTALL,
)
APPENDED = ("metrics.jsonl", "log.txt")  # line by line; readers leave out a half one
HALF = re.compile(r"\..*part.*|\..*\.lock|\..*\.unfinished")  # names of what is not whole
LOGS = ("log.txt",)  # of messages, which tell how often a step was begun

Tree = dict[str, object]


@dataclass(frozen=True)
class Command:
    """A command to be killed.

    Attributes:
        name: for reading.
        arguments: the program and its arguments; `{out}` and `{inputs}` stand for the folders.
        earlier: the arguments of commands that have run before, into the same folder.
        finished: its exit code where it has done all already: 0, or 2 where it refuses to do it again.
        share: of the random moments that it gets: few where a run takes seconds.
        stride: it is killed at each so many-th change; 0: at none, as those of workers are not counted.
        removes: pattern of the names that the command says it removes, of those that were there.
    """

    name: str
    arguments: str
    earlier: tuple[str, ...] = ()
    finished: Literal[0, 2] = 0
    share: float = 1.0
    stride: int = 1
    removes: str = r"$^"


TRAINING = (
    "--set networks.width=4 --set networks.segmentor_width=4 --set networks.discriminator_width=4 "
    "--set training.images=4 --set training.batch_size=2 --set training.checkpoint_every=2 "
    "--set training.snapshot_every=4 --set training.preview_every=4 --device cpu"
)
SYNTHESIZE = "pseudohealthy synthesize {inputs}/sub-01_FLAIR.nii.gz -o {out} --device cpu --backend torch"
EVALUATE = (
    "pseudohealthy evaluate {inputs}/prepared -o {out} --split test --resegmentation-steps 0 --device cpu"
)
PARTICIPANT = "pseudohealthy-bids {inputs}/study {out} participant --device cpu --backend torch"
GROUP = "pseudohealthy-bids {inputs}/study {out} group"
REPRODUCE = "pseudohealthy reproduce {inputs}/experiment.yaml -o {out} --data {inputs}/cohort --device cpu"
COMMANDS = (
    Command(
        "prepare",
        "pseudohealthy prepare {inputs}/patients {inputs}/masks -o {out} "
        "--set slice_shape=[64,48] --set clip_region=brain --set crop_centre=brain "
        "--set slice_selection=half_area",
    ),
    Command("train", f"pseudohealthy train {{inputs}}/prepared -o {{out}} --method paired {TRAINING}"),
    Command("train a judge", f"pseudohealthy train {{inputs}}/prepared -o {{out}} --method judge {TRAINING}"),
    Command("synthesize", f"{SYNTHESIZE} --weights {{inputs}}/weights --blend", finished=2),
    Command(
        "synthesize --overwrite",
        f"{SYNTHESIZE} --weights {{inputs}}/weights --overwrite",
        (f"{SYNTHESIZE} --weights {{inputs}}/other_weights --blend",),
        removes=r".*desc-blend.*",
    ),
    Command("evaluate", f"{EVALUATE} --weights {{inputs}}/weights --judge {{inputs}}/judge", finished=2),
    Command(
        "evaluate --overwrite",
        f"{EVALUATE} --weights {{inputs}}/weights --judge {{inputs}}/judge --overwrite",
        (f"{EVALUATE} --weights {{inputs}}/other_weights",),
    ),
    Command(
        "export monai",
        "pseudohealthy export -o {out} --format monai --weights {inputs}/weights",
        finished=2,
    ),
    Command(
        "export onnx",
        "pseudohealthy export -o {out} --format onnx --weights {inputs}/weights",
        finished=2,
        share=0.03,
    ),
    Command("bids participant", f"{PARTICIPANT} --weights {{inputs}}/weights --jobs 1"),
    Command(
        "bids participant --overwrite",
        f"{PARTICIPANT} --weights {{inputs}}/weights --jobs 1 --overwrite",
        (f"{PARTICIPANT} --weights {{inputs}}/other_weights --jobs 1 --blend",),
        removes=r".*desc-blend.*|logs/sub-.*\.json",
    ),
    Command("bids group", GROUP, (f"{PARTICIPANT} --weights {{inputs}}/weights --jobs 1",)),
    Command(
        "bids group again",
        GROUP,
        (
            f"{PARTICIPANT} --weights {{inputs}}/other_weights --jobs 1",
            GROUP,
            f"{PARTICIPANT} --weights {{inputs}}/weights --jobs 1 --overwrite",
        ),
    ),
    Command("reproduce", REPRODUCE, share=0.2, stride=8),
    Command("reproduce again", REPRODUCE, (REPRODUCE,), share=0.2, stride=2),
    Command(
        "bids participant --jobs 2",
        f"{PARTICIPANT} --weights {{inputs}}/weights --jobs 2",
        share=0.03,
        stride=0,
    ),
    Command("reproduce --jobs 2", f"{REPRODUCE} --jobs 2", share=0.03, stride=0),
)
EXPERIMENT = {
    "name": "killed",
    "preset": "default",
    "data": {"fractions": [0.5, 0.25, 0.25]},
    "preprocessing": FITTING.model_dump(mode="json"),
    "settings": {
        "networks": {"width": 4, "segmentor_width": 4, "discriminator_width": 4},
        "training": {
            "images": 4,
            "batch_size": 2,
            "checkpoint_every": 2,
            "snapshot_every": 2,
            "preview_every": 4,
        },
    },
    "methods": [{"method": "paired"}],
    "judges": {name: {"training": {"seed": seed}} for seed, name in enumerate(("a", "b", "c", "spare"))},
    "held_out": "spare",
    "resegmentation_steps": 1,
}


def make_inputs(folder: Path) -> Path:
    """What the commands read: patients, masks, a prepared cohort, weights, a study, an experiment."""
    patients = bids(folder / "patients", 4)
    participants(patients, "participant_id\tsplit", *(f"sub-{n:02d}\t{split}" for n, split in SPLITS))
    _cohort(folder / "cohort")
    prepare(read_cohort([patients, library(folder / "masks", 2)]), folder / "prepared", FITTING)
    saved(folder / "weights")
    saved(folder / "other_weights", copying=True)
    saved(folder / "judge", "judge", finds=True)
    study(folder / "study", 2)
    shutil.copy(folder / "study/sub-01/anat/sub-01_FLAIR.nii.gz", folder)
    text = yaml.safe_dump(EXPERIMENT, sort_keys=False)
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")
    return folder


def _cohort(root: Path) -> None:
    """Patients whose lesions lie in slices that are healthy in others, as an experiment needs them."""
    splits = ("train", "train", "val", "test", "test", "test")
    for number in range(1, 1 + len(splits)):
        name, first = f"sub-{number:02d}/anat/sub-{number:02d}", 8 + 4 * (number % 3 - 1)
        place = box(SHAPE, (14, 26), (20, 32), (first, first + 4))
        write(root / f"{name}_FLAIR.nii.gz", np.where(place, 300, brain(number)).astype(np.int16))
        write(root / f"derivatives/lesions/{name}_label-lesion_mask.nii.gz", place.astype(np.uint8))
    rows = (f"sub-{number:02d}\t{split}" for number, split in enumerate(splits, 1))
    participants(root, "participant_id\tsplit", *rows)


class KilledWronglyError(AssertionError):
    """A promise that was not held, with all that is needed to see it again."""


@dataclass
class Campaign:
    """One command, what its undisturbed run makes, and runs of it that are killed.

    Args:
        server: that runs it.
        command: the command.
        inputs: what `make_inputs` made.
        work: an empty folder, for this command alone.
    """

    server: ForkServer
    command: Command
    inputs: Path
    work: Path
    start: Path = field(init=False)

    def __post_init__(self) -> None:
        self.out, self.start = self.work / "out", self.work.with_name(self.work.name + " before")
        for earlier in self.command.earlier:
            self._run(earlier, NEVER, 0)
        if self.command.earlier:
            shutil.copytree(self.out, self.start, symlinks=True)
        self.before = tree(self.start)
        self.untouched = stamps(self.inputs)
        self._begin()
        undisturbed = self._run(self.command.arguments, NEVER, 0)
        self.changes, self.seconds = undisturbed.changes, undisturbed.seconds
        self.result = tree(self.out)
        self._begin()
        self._run(self.command.arguments, NEVER, 0)
        self._expect(differences(self.result, tree(self.out)), f"{self.command.name}, two undisturbed runs")

    def every_change(self, stride: int = 1) -> list[Moment]:
        """Before and after each change of the file system, or each `stride`-th."""
        numbers = range(1, self.changes + 1, stride)
        return [Moment(change, after) for change in numbers for after in (False, True)]

    def random_moments(self, count: int, seed: int) -> list[Moment]:
        """Moments drawn over the duration of an undisturbed run."""
        chance = random.Random(f"{self.command.name} {seed}")
        return [Moment(seconds=chance.uniform(0, self.seconds)) for _ in range(count)]

    def kill(self, moment: Moment) -> dict[str, float]:
        """Kill the command at a moment, look at what is left, run it again and compare.

        Returns:
            `killed`: whether the moment came before the end; `orphan_seconds`: of its worker processes.

        Raises:
            KilledWronglyError: something was not as promised.
        """
        self._begin()
        ended = self.server.run(self._argv(self.command.arguments), moment)
        if not (ended.killed or (ended.code == 0 and not moment.change)):
            raise KilledWronglyError(f"{self._at(moment)}: code {ended.code}\n{ended.output}")
        left = tree(self.out)
        self._expect(self._lost(left), f"{self._at(moment)}, before it is run again")
        if not math.isfinite(ended.orphan_seconds):
            raise KilledWronglyError(f"{self._at(moment)}: a worker process outlived it by 30 s")
        again = self.server.run(self._argv(self.command.arguments))
        refused = self.command.finished and not differences(self.result, without_locks(left))
        if again.code != (self.command.finished if refused else 0):
            raise KilledWronglyError(f"{self._at(moment)}: run again, code {again.code}\n{again.output}")
        now = without_locks(tree(self.out)) if refused else tree(self.out)
        self._expect(differences(self.result, now), f"{self._at(moment)}, after it was run again")
        touched = set(stamps(self.inputs).items()) ^ set(self.untouched.items())
        self._expect([f"{name} of the inputs was touched" for name, _ in touched], self._at(moment))
        beside = [path.name for path in self.work.iterdir() if path != self.out]
        self._expect([f"{name} lies beside the output folder" for name in beside], self._at(moment))
        return {"killed": ended.killed, "orphan_seconds": ended.orphan_seconds}

    def _begin(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        if self.command.earlier:
            shutil.copytree(self.start, self.out, symlinks=True)

    def _argv(self, arguments: str) -> list[str]:
        return [word.format(out=self.out, inputs=self.inputs) for word in arguments.split()]

    def _run(self, arguments: str, moment: Moment, code: int) -> Any:
        ended = self.server.run(self._argv(arguments), moment)
        if ended.code != code:
            raise KilledWronglyError(
                f"{self.command.name}: code {ended.code}, expected {code}\n{ended.output}"
            )
        return ended

    def _lost(self, now: Tree) -> list[str]:
        """What is lost or half written."""
        problems = [
            f"{path.relative_to(self.out)} is half written ({problem})"
            for path in files(self.out)
            if not HALF.fullmatch(path.name) and (problem := half_written(path))
        ]
        for name, content in self.before.items():
            if re.fullmatch(self.command.removes, name):
                continue
            if name not in now:
                problems.append(f"{name} is lost")
            elif now[name] not in (content, self.result.get(name)) and not name.endswith(APPENDED):
                problems.append(f"{name} is neither what it was nor what it becomes")
        return problems

    def _at(self, moment: Moment) -> str:
        how = f"{COMMAND} '{self.command.name}' {moment.options}"
        return f"{self.command.name}, killed {moment} of {self.changes} changes, {self.seconds:.2f} s ({how})"

    def _expect(self, problems: Sequence[str], when: str) -> None:
        if problems:
            raise KilledWronglyError(f"{when}: {'; '.join(problems)}")


def files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in order."""
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of everything below a folder."""
    return {
        str(path.relative_to(folder)): (stat.st_size if path.is_file() else 0, stat.st_mtime_ns)
        for path in folder.rglob("*")
        for stat in [path.stat()]
    }


def tree(folder: Path) -> Tree:
    """What every file and folder below a folder holds, less what no two runs have in common."""
    return {
        str(path.relative_to(folder)): "folder" if path.is_dir() else content(path)
        for path in sorted(folder.rglob("*"))
    }


def without_locks(tree: Tree) -> Tree:
    """Less the free lock that may lie beside what is complete: who refuses to do it again takes no lock."""
    return {name: content for name, content in tree.items() if not name.endswith(".lock")}


def differences(expected: Tree, found: Tree) -> list[str]:
    """In words; none: there are none."""
    missing = [f"{name} is missing" for name in expected.keys() - found.keys()]
    more = [f"{name} is left over" for name in found.keys() - expected.keys()]
    other = [f"{name} differs" for name in expected.keys() & found.keys() if expected[name] != found[name]]
    return sorted(missing) + sorted(more) + sorted(other)


def content(path: Path) -> object:
    """What a file holds, less what no two runs have in common; a digest where nothing is left out."""
    if path.name in LOGS:
        return "messages"
    if any(part.startswith(".part-") for part in path.parts):  # half written
        return sha256_of(path)
    readers: Mapping[str, Callable[[Path], object]] = {
        ".json": lambda path: without_varying(json.loads(path.read_text(encoding="utf-8"))),
        ".pt": lambda path: without_varying(plain(torch.load(path, weights_only=True))),
        ".tsv": _table,
        ".html": lambda path: _without_times(path.read_text(encoding="utf-8")),
        ".md": lambda path: _without_times(path.read_text(encoding="utf-8")),
    }
    try:
        return readers.get(path.suffix, sha256_of)(path)
    except (ValueError, RuntimeError, EOFError):  # half written
        return sha256_of(path)


def _without_times(text: str) -> str:
    return hashlib.sha256(TIME.sub("", text).encode()).hexdigest()


def without_varying(value: Any) -> Any:
    """A value less those of `VARYING`, at any depth."""
    if isinstance(value, dict):
        return {key: without_varying(each) for key, each in value.items() if key not in VARYING}
    return [without_varying(each) for each in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Tensors as bytes, so that `==` compares them."""
    if isinstance(value, torch.Tensor):
        return (
            str(value.dtype),
            tuple(value.shape),
            value.contiguous().view(-1).view(torch.uint8).numpy().tobytes(),
        )
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def _table(path: Path) -> object:
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    return table.drop(columns=[name for name in VARYING if name in table]).to_dict("split")


def half_written(path: Path) -> str:
    """Why a file is not whole; "": it is."""
    if path.name in APPENDED:
        return ""
    readers: Mapping[str, Callable[[Path], object]] = {
        ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
        ".yaml": lambda path: yaml.safe_load(path.read_text(encoding="utf-8"))["settings"],
        ".pt": partial(torch.load, weights_only=True),
        ".npy": np.load,
        ".npz": lambda path: dict(np.load(path)),
        ".safetensors": load_file,
        ".png": lambda path: Image.open(path).load(),
        ".gz": lambda path: np.asarray(nib.load(path).dataobj),
        ".html": partial(_ends, b"</html>"),
        ".tsv": partial(_ends, b"\n"),
        ".md": partial(_ends, b"\n"),
        ".tex": partial(_ends, b"\n"),
        ".onnx": _onnx,
    }
    read = readers.get(path.suffix, Path.read_bytes)
    try:
        read(path)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _ends(end: bytes, path: Path) -> None:
    if not path.read_bytes().rstrip(b" ").endswith((end, end + b"\n")):
        raise ValueError(f"does not end with {end!r}")


def _onnx(path: Path) -> None:
    import onnx

    onnx.checker.check_model(str(path))


@dataclass
class Progress:
    """A campaign, the moments that are left of it, and what came of those before.

    Attributes:
        campaign: whose command is killed.
        stride: of its changes, those at which it is killed are each so many-th.
        left: moments.
        figures: for the results' file.
    """

    campaign: Campaign
    stride: int
    left: list[Moment]
    figures: dict[str, Any]

    @classmethod
    def of(cls, campaign: Campaign, moments: int, stride: int, seed: int) -> Progress:
        """So many random moments, and the changes; a few random moments come first."""
        command = campaign.command
        drawn = campaign.random_moments(math.ceil(moments * command.share), seed)
        stride = stride * command.stride
        changes = campaign.every_change(stride) if stride else []
        figures = {
            "arguments": command.arguments,
            "changes": campaign.changes,
            "stride": stride or None,
            "seconds": round(campaign.seconds, 3),
            "at_changes": _counts(len(changes)),
            "at_random": _counts(len(drawn)),
        }
        return cls(campaign, stride, [*drawn[:ROUND], *changes, *drawn[ROUND:]], figures)

    def kill(self, count: int) -> None:
        """Kill at the next so many moments."""
        for moment in self.left[:count]:
            counts = self.figures["at_changes" if moment.change else "at_random"]
            counts["done"] += 1
            try:
                outcome = self.campaign.kill(moment)
            except KilledWronglyError as error:
                print(f"FAILED: {error}", flush=True)
                counts["failed"].append(str(error)[:600])
                continue
            counts["killed"] += outcome["killed"]
            longest = max(counts["longest_orphan_seconds"], outcome["orphan_seconds"])
            counts["longest_orphan_seconds"] = round(longest, 2)
        del self.left[:count]


def _counts(planned: int) -> dict[str, Any]:
    return {"planned": planned, "done": 0, "killed": 0, "failed": [], "longest_orphan_seconds": 0.0}


def repeat(name: str, moment: Moment) -> None:
    """Kill a command at one moment; what was not as promised is raised."""
    with tempfile.TemporaryDirectory() as folder, ForkServer() as server:
        campaign = Campaign(
            server, command_called(name), make_inputs(Path(folder) / "inputs"), Path(folder) / "work"
        )
        print(campaign.kill(moment))


def command_called(name: str) -> Command:
    """Of `COMMANDS`, the one of this name."""
    return next(command for command in COMMANDS if command.name == name)


def measure(names: Sequence[str], moments: int, stride: int, seed: int, path: Path) -> None:
    """Kill commands at every change and at random moments, in turn; the figures so far are in `path`.

    Those of other commands that are there, of the same commit, stay.
    """
    made = {**provenance(), "seed": seed}
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    others = earlier["commands"] if made.items() <= earlier.items() else {}
    options = f"--moments {moments} --stride {stride} --seed {seed}"
    chosen = [command for command in COMMANDS if not names or command.name in names]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, ForkServer() as server:
        inputs, begun = make_inputs(Path(folder) / "inputs"), dict[str, Progress]()
        while len(begun) < len(chosen) or any(progress.left for progress in begun.values()):
            for each in chosen:
                if each.name not in begun:
                    campaign = Campaign(server, each, inputs, Path(folder) / each.name / "work")
                    begun[each.name] = Progress.of(campaign, moments, stride, seed)
                progress = begun[each.name]
                progress.kill(math.ceil(ROUND * each.share))
                figures = {
                    name: {"command": f"{COMMAND} '{name}' {options}", **one.figures}
                    for name, one in begun.items()
                }
                write_json(path, {**made, "commands": {**others, **figures}})
                print(f"{each.name}: {len(progress.left)} moments left", flush=True)


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of commands; default: all")
    parser.add_argument("--moments", type=int, default=200, help="random ones, of each command")
    parser.add_argument("--stride", type=int, default=1, help="each so many-th change")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--change", type=int, default=0, help="kill one command at this change only")
    parser.add_argument("--after", action="store_true", help="with --change: after it, not before")
    parser.add_argument("--seconds", type=float, default=math.inf, help="kill one command then only")
    given = parser.parse_args()
    moment = Moment(given.change, given.after, given.seconds)
    if moment != NEVER:
        for name in given.names:
            repeat(name, moment)
        return
    measure(given.names, given.moments, given.stride, given.seed, given.out)


if __name__ == "__main__":
    main()
