"""Runs of one command that are killed, looked at, and run again."""

from __future__ import annotations

import math
import random
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torture.fork_server import NEVER, ForkServer, Moment
from torture.kills.commands import Command
from torture.kills.trees import (
    APPENDED,
    HALF,
    Tree,
    differences,
    files,
    half_written,
    stamps,
    tree,
    without_locks,
)

COMMAND = "python -m torture.kills"


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
        """Each change of the file system, or each `stride`-th, on the command's sides of it."""
        numbers = range(1, self.changes + 1, stride)
        return [Moment(change, side == "after") for change in numbers for side in self.command.sides]

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
            if not any(map(HALF.fullmatch, path.relative_to(self.out).parts))
            and (problem := half_written(path))
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
