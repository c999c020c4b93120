"""The kill campaign: each command of the programs, killed at any moment and run again.

`python -m torture.kills` (with `src` and `tests` on the path) writes `results/reliability/kills.json`.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

from torture.fork_server import NEVER, ForkServer, Moment
from torture.kills.campaign import COMMAND, Campaign
from torture.kills.commands import command_called, make_inputs
from torture.kills.measure import SEED, measure

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "results" / "reliability" / "kills.json"


def repeat(name: str, moment: Moment) -> None:
    """Kill a command at one moment; what was not as promised is raised."""
    with tempfile.TemporaryDirectory() as folder, ForkServer() as server:
        campaign = Campaign(
            server, command_called(name), make_inputs(Path(folder) / "inputs"), Path(folder) / "work"
        )
        print(campaign.kill(moment))


def main() -> int:
    """Exit code 1 where some kill was not made good."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("names", nargs="*", help="of commands; default: all")
    parser.add_argument("--moments", type=int, default=200, help="random ones, of each command")
    parser.add_argument("--stride", type=int, default=1, help="each so many-th change")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, of one core each")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--change", type=int, default=0, help="kill one command at this change only")
    parser.add_argument("--after", action="store_true", help="with --change: after it, not before")
    parser.add_argument("--seconds", type=float, default=math.inf, help="kill one command then only")
    given = parser.parse_args()
    moment = Moment(given.change, given.after, given.seconds)
    if moment != NEVER:
        for name in given.names:
            repeat(name, moment)
        return 0
    return int(measure(given.names, given.moments, given.stride, given.seed, given.out, jobs=given.jobs) > 0)


if __name__ == "__main__":
    sys.exit(main())
