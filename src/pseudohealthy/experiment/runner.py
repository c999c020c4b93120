"""Does what of an experiment is not yet done: judges, methods, checkpoints, measures, tables, figures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from pseudohealthy.assessment.checkpoint_selection import choose
from pseudohealthy.assessment.judge_selection import BEST, select_judge
from pseudohealthy.assessment.measure import measure
from pseudohealthy.assessment.predictors import Memory, Predictor
from pseudohealthy.assessment.protocol import EvaluationProtocol, read_judged, write_references
from pseudohealthy.config import Settings, validated
from pseudohealthy.data.cohort import chosen, read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.evaluation.score import strict
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.experiment.parallel_steps import side_by_side
from pseudohealthy.experiment.publish import publish
from pseudohealthy.experiment.steps import DONE, STAGES, Experiment, Step, plan
from pseudohealthy.files import inside, make_folder, read_tsv, write_arrays, write_json, write_tsv
from pseudohealthy.phantom.dataset import make_phantoms
from pseudohealthy.provenance import provenance
from pseudohealthy.synthesis.model import Model, device_of
from pseudohealthy.training.loop import train


def reproduce(
    experiment: Experiment,
    out: Path,
    *,
    folders: Sequence[Path] = (),
    results: Path | None = None,
    device: str = "auto",
    jobs: int = 1,
) -> Path:
    """Prepare, train, choose, measure and publish an experiment; what is done already is skipped.

    Args:
        experiment: what to do.
        out: the working folder. Each step has a folder of its own, named after all that decides its outcome.
        folders: the cohort's data sets; none for an experiment on phantoms.
        results: where tables, figures and the report go; None: `out/results`.
        device: "cpu", "cuda" or "auto".
        jobs: steps at once, each with its share of the cores.

    Returns:
        The results' folder.

    Raises:
        InputError: data that cannot be used, or data given to an experiment that makes its own.
    """
    say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print
    say(f"experiment {experiment.name}: preparing the cohort")
    prepared = prepared_cohort(experiment, out, folders, say)
    steps = plan(experiment, prepared.manifest["key"])
    runner = StepRunner(experiment, out, prepared, steps, device)
    if not all(is_done(step, out) for step in steps):
        runner.bench_with({})  # a cohort that cannot be measured is told before anything is trained
    for kinds in STAGES if jobs > 1 else ():
        parts = together([step for step in steps if step.kind in kinds and not is_done(step, out)])
        if len(parts) > 1:
            tasks = [(f"{part[0].kind} {part[0].name}", part[0].folder(out)) for part in parts]
            side_by_side(tasks, Parts(experiment, out, parts, device), jobs, say)
    for number, step in enumerate(steps, 1):
        if is_done(step, out):
            continue
        say(f"[{number}/{len(steps)}] {step.kind} {step.name}")
        runner.do(step)
    folder = results or out / "results"
    say(f"tables, figures and report: {folder}")
    publish(experiment, out, steps, prepared, folder)
    say(RESEARCH_USE)
    return folder


def prepared_cohort(
    experiment: Experiment, out: Path, folders: Sequence[Path], say: Callable[[str], object]
) -> Prepared:
    """The experiment's cohort, prepared in `out/prepared`; its phantoms are made in `out/data`.

    `say` is told what of the cohort was left out, taken for something or not understood, a line each.
    """
    data, made = experiment.data, experiment.data.phantom
    if bool(folders) == (made is not None):
        raise InputError(
            f"experiment {experiment.name} "
            + ("makes its own phantoms; give no --data" if made else "needs --data FOLDER, its cohort")
        )
    if made is not None:
        folders = [make_phantoms(out / "data" / "phantoms", **made.model_dump(), splits=data.fractions)]
    cohort = read_cohort(folders, data.layout, data.controls)
    for note in cohort.notes:
        say(f"note: {note}")
    if data.choose is not None:
        cohort = chosen(cohort, data.choose, data.seed)
    prepare(cohort, out / "prepared", experiment.preprocess(), seed=data.seed, fractions=data.fractions)
    return Prepared.open(out / "prepared")


def list_steps(experiment: Experiment, out: Path) -> list[str]:
    """A line for each step: done or to do, and how many images it trains on."""
    try:
        key = Prepared.open(out / "prepared").manifest["key"]
    except InputError:
        key = "not prepared"
    lines = []
    for step in plan(experiment, key):
        training = step.settings.get("training", {})
        amounts = [
            f"{training[unit]} {unit}" for unit in ("minutes", "images", "epochs") if training.get(unit)
        ]
        budget = f", {amounts[0]}" if amounts else ""
        lines.append(f"{'done ' if is_done(step, out) else 'to do'}  {step.kind} {step.name}{budget}")
    return lines


def is_done(step: Step, out: Path) -> bool:
    """Whether the step's folder says that it is finished, with exactly these settings and inputs."""
    try:
        done = json.loads((step.folder(out) / DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(done.get("key") == step.key)


def together(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps in parts to be done side by side, the longest first.

    One method's rows, and the controls, are a part: they share what networks made.
    """
    parts: dict[object, list[Step]] = {}
    for step in steps:
        row = step.row
        part = step.key if row is None else (row.method, row.preset, row.seed) if row.preset else "controls"
        parts.setdefault(part, []).append(step)
    return sorted(parts.values(), key=len, reverse=True)


@dataclass(frozen=True)
class Parts:
    """Steps to be done in other processes: each opens the prepared cohort itself."""

    experiment: Experiment
    out: Path
    parts: Sequence[Sequence[Step]]
    device: str

    def __call__(self, number: int) -> None:
        """Do the steps of the part of that number."""
        prepared = Prepared.open(self.out / "prepared")
        steps = plan(self.experiment, prepared.manifest["key"])
        runner = StepRunner(self.experiment, self.out, prepared, steps, self.device)
        for step in self.parts[number]:
            runner.do(step)


@dataclass(eq=False)
class StepRunner:
    """Does steps, and keeps at hand what several of them use."""

    experiment: Experiment
    out: Path
    prepared: Prepared
    steps: Sequence[Step]
    device: str
    models: dict[Path, Model] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    def do(self, step: Step) -> None:
        """Do a step; its `done.json` comes last."""
        folder = step.folder(self.out)
        make_folder(folder)
        began = time.monotonic()
        deed: Callable[[Step, Path], None] = getattr(self, f"_{step.kind}")
        deed(step, folder)
        seconds = round(time.monotonic() - began, 1)
        device = str(device_of(self.device))
        write_json(folder / DONE, {"key": step.key, "seconds": seconds, "device": device, **provenance()})

    @cached_property
    def judges(self) -> dict[str, Model]:
        """Every f_pre by name, the paper's first."""
        return {
            step.name: self._model(step.folder(self.out) / "run" / BEST)
            for step in self.steps
            if step.kind == "judge"
        }

    @cached_property
    def bench(self) -> EvaluationProtocol:
        """The test slices and what they are measured with."""
        return self.bench_with(self.judges)

    def bench_with(self, judges: Mapping[str, Model]) -> EvaluationProtocol:
        """The same with other judges, or none."""
        return EvaluationProtocol.of(
            self.prepared, judges, self.experiment.held_out, self.experiment.data.seed
        )

    @cached_property
    def references(self) -> tuple[dict[str, NDArray[np.bool_]], pd.DataFrame]:
        """f(x) of the test slices by judge, and what coordinates alone tell."""
        folder = next(s for s in self.steps if s.kind == "references").folder(self.out)
        return read_judged(folder), read_tsv(folder / "coordinates.tsv", "volume")

    def _judge(self, step: Step, folder: Path) -> None:
        self._train(step, folder)
        select_judge(folder / "run", self.prepared, self.device)

    def _train(self, step: Step, folder: Path) -> None:
        given = {key: value for key, value in step.settings.items() if key in Settings.model_fields}
        settings = validated(Settings, given)
        train(self.prepared, folder / "run", settings, accelerator=self.device)

    def _choose(self, step: Step, folder: Path) -> None:
        panel = {name: judge for name, judge in self.judges.items() if name != self.experiment.held_out}
        run = step.after[0].folder(self.out) / "run"
        choice = choose(run, SliceSet.of(self.prepared, "val"), panel, self.device)
        write_json(folder / "choice.json", choice)

    def _references(self, step: Step, folder: Path) -> None:  # noqa: ARG002
        data = self.experiment.data
        write_references(folder, self.bench, seed=data.seed, steps=self.experiment.resegmentation_steps)

    def _measure(self, step: Step, folder: Path) -> None:
        judged, coordinates = self.references
        measured = measure(
            self._predictor(step),
            self.bench,
            judged,
            coordinates,
            seed=self.experiment.data.seed,
            steps=self.experiment.resegmentation_steps,
        )
        write_tsv(folder / "volumes.tsv", measured.table)
        write_json(folder / "numbers.json", strict(measured.numbers))
        write_arrays(folder / "pictures.npz", measured.pictures)

    def _predictor(self, step: Step) -> Predictor:
        if step.row is None:
            raise ValueError(f"{step.name} is no row")
        choices = [self.chosen(use) for use in step.after if use.kind == "choose"]
        has_own = step.row.preset is not None
        own = choices[0] if has_own else None
        segmentor = choices[-1] if choices else None
        return Predictor(step.row, own, segmentor, self.bench.threshold, self.bench.spacing, self.memory)

    def chosen(self, step: Step) -> Model:
        """The model that a `choose` step took."""
        choice = json.loads((step.folder(self.out) / "choice.json").read_text(encoding="utf-8"))
        return self._model(inside(step.after[0].folder(self.out) / "run", choice["weights"]))

    def _model(self, folder: Path) -> Model:
        if folder not in self.models:
            self.models[folder] = Model.load(folder, self.device)
        return self.models[folder]
