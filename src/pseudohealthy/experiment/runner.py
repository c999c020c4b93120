"""Runs the steps of an experiment that are not done: judges, methods, checkpoints, measures, results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rich.console import Console

from pseudohealthy.assessment.assess import assess
from pseudohealthy.assessment.checkpoint_selection import choose
from pseudohealthy.assessment.judge_selection import BEST, select_judge
from pseudohealthy.assessment.predictors import NetworkOutputs, RowPredictor
from pseudohealthy.assessment.protocol import EvaluationProtocol, ProtocolSettings
from pseudohealthy.assessment.references import References, write_references
from pseudohealthy.config import Settings
from pseudohealthy.data.cohort import chosen, read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.devices import device_of
from pseudohealthy.errors import RESEARCH_USE, InputError, PseudohealthyError, printable
from pseudohealthy.evaluation.score import strict
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.experiment.config import Experiment
from pseudohealthy.experiment.parallel_steps import Parallel, parallel, parallel_groups
from pseudohealthy.experiment.publish import publish, refuse_others
from pseudohealthy.experiment.steps import DONE, SELECTION, STAGES, Kind, Step, list_steps
from pseudohealthy.experiment.weights import take_up_weights
from pseudohealthy.files import inside, make_folder, write_arrays, write_json, write_tsv
from pseudohealthy.locks import folder_lock, locked
from pseudohealthy.phantom.dataset import make_phantoms
from pseudohealthy.provenance import provenance
from pseudohealthy.settings_files import validated
from pseudohealthy.synthesis.model import Model
from pseudohealthy.training.loop import train

SEEN_SECONDS = 120  # a network file system may take a minute


def reproduce(
    experiment: Experiment,
    out: Path,
    *,
    folders: Sequence[Path] = (),
    results: Path | None = None,
    device: str = "auto",
    jobs: int = 1,
    dask: str | None = None,
    from_weights: Path | None = None,
) -> Path:
    """Prepare, train, select checkpoints, measure and publish; what is done already is skipped.

    Args:
        experiment: what to do.
        out: the working folder. Each step has a folder of its own, named after all that decides its outcome.
        folders: the cohort's data sets; none for an experiment on phantoms.
        results: where tables, figures and the report go; None: `out/results`.
        device: "cpu", "cuda" or "auto".
        jobs: steps at once, each with its share of the cores.
        dask: the address of a Dask scheduler, whose workers do the steps, each one at a time; `out` must be
            the same folder for all of them.
        from_weights: the folder `weights` of earlier results of this experiment, in place of all training.

    Returns:
        The results' folder.

    Raises:
        InputError: data or a device that cannot be used, data given to an experiment that makes its own, a
            folder that holds what is not of this experiment in the place of its results, or no cluster at
            `dask`.
    """
    folder = results or out / "results"
    if dask is None:  # whose workers may have a graphics card that is not here
        device_of(device)  # which is refused before any work
    refuse_others(folder, experiment)
    _expect_data(experiment, folders)
    say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print
    with parallel(jobs, dask, say) as workers, folder_lock(out):
        say(f"experiment {experiment.name}: preparing the cohort")
        prepared = prepared_cohort(experiment, out, folders, say)
        steps = list_steps(experiment, prepared.manifest["key"])
        if from_weights is not None:
            take_up_weights(out, steps, prepared, from_weights)
        _do_all(StepRunner(experiment, out, prepared, steps, device), workers, say)
        say(printable(f"tables, figures and report: {folder}"))
        _publish_alone(experiment, out, steps, prepared, folder)
    say(RESEARCH_USE)
    return folder


def _publish_alone(
    experiment: Experiment, out: Path, steps: Sequence[Step], prepared: Prepared, folder: Path
) -> None:
    """Publish as the only run that does so into `folder`, which may be the results' of several runs."""
    make_folder(folder)
    # Not the lock of a working folder: one may be the other, or two runs hold and want each other's
    with locked(folder / ".results.lock", str(folder)):
        refuse_others(folder, experiment)  # of another run, which have come meanwhile
        publish(experiment, out, steps, prepared, folder)


def _do_all(runner: StepRunner, workers: Parallel | None, say: Callable[[str], object]) -> None:
    """Do the steps that are not done."""
    out, steps = runner.out, runner.steps
    if not all(step.is_done(out) for step in steps):
        runner.protocol_with({})  # a cohort that cannot be measured is refused before anything is trained
    for kinds in STAGES:
        stage = [step for step in steps if step.kind in kinds]
        if workers is not None:
            _run_stage(stage, runner, workers, say)
        for step in stage:
            if not step.is_done(out):
                say(f"[{steps.index(step) + 1}/{len(steps)}] {step.kind} {step.name}")
                runner.do(step)


def _run_stage(
    steps: Sequence[Step], runner: StepRunner, workers: Parallel, say: Callable[[str], object]
) -> None:
    """Do the steps of one stage in parallel, if there are groups enough of them to do."""
    out = runner.out.resolve()  # the same for a process in another folder
    groups = parallel_groups([step for step in steps if not step.is_done(out)])
    if len(groups) >= workers.fewest:
        tasks = [(f"{group[0].kind} {group[0].name}", group[0].folder(out)) for group in groups]
        workers.run(tasks, StepGroups(runner.experiment, out, groups, runner.device), say)
        wait_until_seen([step for group in groups for step in group], out)


def wait_until_seen(steps: Sequence[Step], out: Path) -> None:
    """Wait for steps that other machines have done: a network file system shows new files after a while."""
    deadline = time.monotonic() + SEEN_SECONDS
    while missing := [step for step in steps if not step.is_done(out)]:
        if time.monotonic() > deadline:
            raise PseudohealthyError(
                f"{missing[0].folder(out)}: a worker has done this step, and no {DONE} is seen here; "
                "expected a folder that is the same on all machines"
            )
        time.sleep(1)


def _expect_data(experiment: Experiment, folders: Sequence[Path]) -> None:
    made = experiment.data.phantom
    if bool(folders) == (made is not None):
        raise InputError(
            f"experiment {experiment.name} "
            + ("makes its own phantoms; give no --data" if made else "needs --data FOLDER, its cohort")
        )


def prepared_cohort(
    experiment: Experiment, out: Path, folders: Sequence[Path], say: Callable[[str], object]
) -> Prepared:
    """The experiment's cohort, prepared in `out/prepared`; its phantoms are made in `out/data`.

    `say` prints a line: what of the cohort was left out, interpreted or not understood.
    """
    data, made = experiment.data, experiment.data.phantom
    if made is not None:
        folders = [make_phantoms(out / "data" / "phantoms", **made.model_dump(), splits=data.fractions)]
    cohort = read_cohort(folders, data.layout, data.controls)
    for note in cohort.notes:
        say(printable(f"note: {note}"))
    if data.choose is not None:
        cohort = chosen(cohort, data.choose, data.seed)
    prepare(cohort, out / "prepared", experiment.preprocess(), seed=data.seed, fractions=data.fractions)
    return Prepared.open(out / "prepared")


def describe_steps(experiment: Experiment, out: Path) -> list[str]:
    """A line for each step: done or to do, and how many images it trains on."""
    try:
        key = Prepared.open(out / "prepared").manifest["key"]
    except InputError:
        key = "not prepared"
    lines = []
    for step in list_steps(experiment, key):
        training = step.settings.get("training", {})
        amounts = [
            f"{training[unit]} {unit}" for unit in ("minutes", "images", "epochs") if training.get(unit)
        ]
        budget = f", {amounts[0]}" if amounts else ""
        lines.append(f"{'done ' if step.is_done(out) else 'to do'}  {step.kind} {step.name}{budget}")
    return lines


@dataclass(frozen=True)
class StepGroups:
    """Groups of steps to be done in other processes, each of which opens the prepared cohort itself."""

    experiment: Experiment
    out: Path
    groups: Sequence[Sequence[Step]]
    device: str

    def __call__(self, number: int) -> None:
        """Do the steps of the group of that number."""
        prepared = Prepared.open(self.out / "prepared")
        steps = list_steps(self.experiment, prepared.manifest["key"])
        runner = StepRunner(self.experiment, self.out, prepared, steps, self.device)
        for step in self.groups[number]:
            if not step.is_done(self.out):  # by a worker that died then
                runner.do(step)


@dataclass(eq=False)
class StepRunner:
    """Does steps, and keeps in memory what several of them use."""

    experiment: Experiment
    out: Path
    prepared: Prepared
    steps: Sequence[Step]
    device: str
    models: dict[Path, Model] = field(default_factory=dict)
    outputs: NetworkOutputs = field(default_factory=NetworkOutputs)

    def do(self, step: Step) -> None:
        """Do a step; its `done.json` comes last."""
        handlers: Mapping[Kind, Callable[[Step, Path], None]] = {
            "judge": self._train_judge,
            "train": self._train,
            "protocol": self._write_protocol,
            "select": self._select,
            "measure": self._measure,
        }
        folder = step.folder(self.out)
        make_folder(folder)
        began = time.monotonic()
        handlers[step.kind](step, folder)
        seconds = round(time.monotonic() - began, 1)
        device = device_of(self.device)
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
    def protocol(self) -> EvaluationProtocol:
        """The test slices and what they are measured with."""
        return self.protocol_with(self.judges)

    def protocol_with(self, judges: Mapping[str, Model]) -> EvaluationProtocol:
        """The same with other judges, or none."""
        experiment = self.experiment
        settings = ProtocolSettings(
            split="test",
            held_out=experiment.held_out,
            seed=experiment.data.seed,
            resegmentation_steps=experiment.resegmentation_steps,
            device=self.device,
        )
        return EvaluationProtocol.of(self.prepared, judges, settings)

    @cached_property
    def references(self) -> References:
        """What the judges detect in the test slices, and the AUROC by volume of coordinates alone."""
        protocol = next(step for step in self.steps if step.kind == "protocol")
        with protocol.reading(self.out):
            return References.read(protocol.folder(self.out))

    def selected(self, selection: Step) -> Model:
        """The model whose weights a finished selection selected."""
        weights = selection.read_json(self.out, SELECTION)["weights"]
        return self._model(inside(selection.training.folder(self.out) / "run", weights))

    def _train_judge(self, step: Step, folder: Path) -> None:
        self._train(step, folder)
        select_judge(folder / "run", self.prepared, self.device)

    def _train(self, step: Step, folder: Path) -> None:
        values = {key: value for key, value in step.settings.items() if key in Settings.model_fields}
        train(self.prepared, folder / "run", validated(Settings, values), accelerator=self.device)

    def _write_protocol(self, step: Step, folder: Path) -> None:  # noqa: ARG002
        write_references(folder, self.protocol)

    def _select(self, step: Step, folder: Path) -> None:
        panel = {name: judge for name, judge in self.judges.items() if name != self.experiment.held_out}
        run = step.training.folder(self.out) / "run"
        write_json(folder / SELECTION, choose(run, SliceSet.of(self.prepared, "val"), panel, self.device))

    def _measure(self, step: Step, folder: Path) -> None:
        measured = assess(self._predictor(step), self.protocol, self.references)
        write_tsv(folder / "volumes.tsv", measured.table)
        write_json(folder / "numbers.json", strict(measured.numbers))
        write_arrays(folder / "pictures.npz", measured.pictures)

    def _predictor(self, step: Step) -> RowPredictor:
        if step.row is None:
            raise ValueError(f"{step.name} is no row")
        models = [self.selected(selection) for selection in step.selections]
        is_trained = step.row.preset is not None
        own = models[0] if is_trained else None
        segmentor = models[-1] if models else None
        return RowPredictor(step.row, own, segmentor, self.protocol.threshold, self.outputs)

    def _model(self, folder: Path) -> Model:
        if folder not in self.models:
            self.models[folder] = Model.load(folder, self.device)
        return self.models[folder]
