"""The commands killed at every change and at random moments, in turn; figures of what came of it."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudohealthy.files import write_json
from pseudohealthy.provenance import provenance
from torture.fork_server import ForkServer, Moment
from torture.kills.campaign import COMMAND, Campaign, KilledWronglyError
from torture.kills.commands import COMMANDS, make_inputs

SEED = 0
ROUND = 5  # moments of a command before it is another's turn


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
