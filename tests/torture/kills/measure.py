"""The commands killed at every change and at random moments, in turn; figures of what came of it."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
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
    """Campaigns of one command, the moments that are left of them, and what came of those before.

    Attributes:
        campaigns: that go on at once, in folders of their own.
        left: moments.
        figures: for the results' file.
        repeated: moments that were not made good before, each with what was said of it.
    """

    campaigns: Sequence[Campaign]
    left: list[Moment]
    figures: dict[str, Any]
    repeated: dict[Moment, str] = field(default_factory=dict)

    @classmethod
    def of(cls, campaigns: Sequence[Campaign], moments: int, stride: int, seed: int) -> Progress:
        """So many random moments, and the changes; a few random moments come first."""
        campaign, command = campaigns[0], campaigns[0].command
        options = f"--moments {moments} --stride {stride} --seed {seed}"
        drawn = campaign.random_moments(math.ceil(moments * command.share), seed)
        stride = stride * command.stride
        changes = campaign.every_change(stride) if stride else []
        figures = {
            "command": f"{COMMAND} '{command.name}' {options}",
            "arguments": command.arguments,
            "changes": campaign.changes,
            "stride": stride or None,
            "sides": command.sides,
            "seconds": round(campaign.seconds, 3),
            "at_changes": _counts(len(changes)),
            "at_random": _counts(len(drawn)),
        }
        return cls(campaigns, [*drawn[:ROUND], *changes, *drawn[ROUND:]], figures)

    def go_on(self, before: Mapping[str, Any]) -> None:
        """Go on after the figures of a campaign that was stopped; of another one, or one that ended: anew.

        Of one that ended, and in which some kills were not made good, those alone are repeated.
        """
        parts = ("at_changes", "at_random")
        same = all(before.get(key) == json.loads(json.dumps(value)) for key, value in self._plan().items())
        done = sum(before[part]["done"] for part in parts) if same else 0
        failed = [text for part in parts for text in before[part]["failed"]] if done else []
        if not done or not (self.left[done:] or failed):
            return
        self.figures |= {part: before[part] for part in parts}
        self.figures["earlier_commits"] = [*before.get("earlier_commits", []), before["commit"]]
        if self.left[done:]:
            del self.left[:done]
            return
        self.repeated = {_moment_of(text): text for text in failed}
        self.left = list(self.repeated)

    def _plan(self) -> dict[str, Any]:
        """What a campaign does, whenever it does it."""
        return {key: self.figures[key] for key in ("command", "arguments", "changes", "stride", "sides")}

    def kill(self, count: int) -> None:
        """Kill at the next so many moments in each of the campaigns."""
        jobs = len(self.campaigns)
        moments = self.left[: count * jobs]
        with ThreadPoolExecutor(jobs) as pool:
            shares = pool.map(_killed, self.campaigns, [moments[first::jobs] for first in range(jobs)])
        for moment, outcome in (pair for share in shares for pair in share):
            counts = self.figures["at_changes" if moment.change else "at_random"]
            if moment in self.repeated:  # it counts until then, so that none is lost where this is stopped
                counts["failed"].remove(self.repeated[moment])
            else:
                counts["done"] += 1
            if isinstance(outcome, str):
                print(f"FAILED: {outcome}", flush=True)
                counts["failed"].append(outcome[:600])
                continue
            counts["killed"] += outcome["killed"]
            longest = max(counts["longest_orphan_seconds"], outcome["orphan_seconds"])
            counts["longest_orphan_seconds"] = round(longest, 2)
        del self.left[: len(moments)]


def _moment_of(failure: str) -> Moment:
    """The moment of a kill that was not made good, from what is said of it."""
    change, after, seconds = re.findall(r"--(?:change (\d+)( --after)?|seconds ([\d.]+))\)", failure)[0]
    return Moment(int(change), bool(after)) if change else Moment(seconds=float(seconds))


def _killed(campaign: Campaign, moments: Sequence[Moment]) -> list[tuple[Moment, dict[str, float] | str]]:
    """What came of each kill, or what was not as promised."""

    def outcome(moment: Moment) -> dict[str, float] | str:
        try:
            return campaign.kill(moment)
        except KilledWronglyError as error:
            return str(error)

    return [(moment, outcome(moment)) for moment in moments]


def _counts(planned: int) -> dict[str, Any]:
    return {"planned": planned, "done": 0, "killed": 0, "failed": [], "longest_orphan_seconds": 0.0}


def measure(names: Sequence[str], moments: int, stride: int, seed: int, path: Path, *, jobs: int = 1) -> int:
    """Kill commands at every change and at random moments, in turn; how many kills were not made good.

    The figures so far are in `path`; a campaign that was stopped goes on from there.
    Those of other commands that are there stay, each with the commit that it was killed at.
    """
    made = {**provenance(), "seed": seed}
    others = json.loads(path.read_text(encoding="utf-8"))["commands"] if path.exists() else {}
    chosen = [command for command in COMMANDS if not names or command.name in names]
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [stack.enter_context(ForkServer()) for _ in range(jobs)]
        inputs, begun = make_inputs(folder / "inputs"), dict[str, Progress]()
        while len(begun) < len(chosen) or any(progress.left for progress in begun.values()):
            for each in chosen:
                if each.name not in begun:
                    campaigns = [
                        Campaign(server, each, inputs, folder / each.name / str(job) / "work")
                        for job, server in enumerate(servers)
                    ]
                    begun[each.name] = Progress.of(campaigns, moments, stride, seed)
                    begun[each.name].go_on(others.get(each.name, {}))
                progress = begun[each.name]
                progress.kill(math.ceil(ROUND * each.share))
                figures = {name: {"commit": made["commit"], **one.figures} for name, one in begun.items()}
                write_json(path, {**made, "commands": {**others, **figures}})
                print(f"{each.name}: {len(progress.left)} moments left", flush=True)
    parts = [one.figures[part] for one in begun.values() for part in ("at_changes", "at_random")]
    return sum(len(part["failed"]) for part in parts)
