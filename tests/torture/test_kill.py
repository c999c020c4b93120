"""A command that is killed at any moment and run again loses nothing, and makes what it makes undisturbed.

The short form kills the cheap commands; the long one, of `make torture`, every command at each change of the
file system and at random moments, as `python -m torture.kills` does for `results/reliability/kills.json`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from torture.fork_server import ForkServer, Moment
from torture.kills.campaign import Campaign, KilledWronglyError
from torture.kills.commands import COMMANDS, command_called, make_inputs
from torture.kills.measure import SEED, Progress, measure
from torture.kills.trees import differences, half_written, tree

SHORT = {"prepare": (1, 2), "synthesize": (15, 1), "export monai": (4, 1)}  # each so many-th change, moments
LONG_MOMENTS = 200


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer() as server:
        yield server


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("killed") / "inputs")


@pytest.mark.parametrize("name", SHORT)
def test_killed_and_run_again_it_is_as_if_it_had_never_been_stopped(
    server: ForkServer, inputs: Path, tmp_path: Path, name: str
) -> None:
    stride, moments = SHORT[name]
    campaign = Campaign(server, command_called(name), inputs, tmp_path / "work")
    print(f"seed {SEED}")
    outcomes = [campaign.kill(moment) for moment in campaign.every_change(stride)]
    assert all(outcome["killed"] for outcome in outcomes)
    for moment in campaign.random_moments(moments, SEED):
        campaign.kill(moment)


def test_what_a_killed_run_has_lost_or_left_is_seen(server: ForkServer, inputs: Path, tmp_path: Path) -> None:
    """With what a run makes as if it had been there before, and a result that lacks a file of it."""
    campaign = Campaign(server, command_called("prepare"), inputs, tmp_path / "work")
    campaign.before = dict(campaign.result)
    with pytest.raises(KilledWronglyError, match=r"manifest\.json is lost.*slices\.tsv is lost"):
        campaign.kill(Moment(1))
    campaign.before = {}
    del campaign.result["manifest.json"]
    with pytest.raises(KilledWronglyError, match=r"--change 1\).*manifest\.json is left over"):
        campaign.kill(Moment(1))
    campaign.untouched = {}
    campaign.result = tree(campaign.out)
    with pytest.raises(KilledWronglyError, match="of the inputs was touched"):
        campaign.kill(Moment(1))


def test_a_difference_of_any_kind_is_seen(inputs: Path, tmp_path: Path) -> None:
    shutil.copytree(inputs, tmp_path / "copy")
    before = tree(inputs)
    assert differences(before, tree(tmp_path / "copy")) == []
    (tmp_path / "copy/weights/README.md").unlink()
    (tmp_path / "copy/masks/.part-0").mkdir()
    (tmp_path / "copy/prepared/images.npy").write_bytes(b"")
    assert differences(before, tree(tmp_path / "copy")) == [
        "weights/README.md is missing",
        "masks/.part-0 is left over",
        "prepared/images.npy differs",
    ]


def test_half_a_file_is_seen(inputs: Path, tmp_path: Path) -> None:
    names = ("prepared/images.npy", "prepared/slices.tsv", "prepared/manifest.json", "sub-01_FLAIR.nii.gz")
    for name in (*names, "weights/model.safetensors"):
        assert half_written(inputs / name) == ""
        half = tmp_path / Path(name).name
        content = (inputs / name).read_bytes()
        half.write_bytes(content[: len(content) // 2])
        assert half_written(half), name


def test_a_stopped_campaign_goes_on_and_an_ended_or_another_one_begins_anew() -> None:
    def progress(**changed: Any) -> Progress:
        plan = {"command": "c", "arguments": "a", "changes": 4, "stride": 1, "sides": ("before",), **changed}
        counts = {"planned": 4, "done": 0, "killed": 0, "failed": [], "longest_orphan_seconds": 0.0}
        figures = {**plan, "at_changes": dict(counts), "at_random": dict(counts)}
        return Progress((), [Moment(change) for change in range(1, 9)], figures)

    stopped = json.loads(json.dumps({"commit": "old", **progress().figures}))
    stopped["at_changes"] |= {"done": 2, "killed": 2}
    stopped["at_random"] |= {"done": 3, "killed": 1}
    going_on = progress()
    going_on.go_on(stopped)
    assert [moment.change for moment in going_on.left] == [6, 7, 8]
    assert going_on.figures["at_random"]["killed"] == 1
    assert going_on.figures["earlier_commits"] == ["old"]
    for anew, before in ((progress(changes=5), stopped), (progress(), {})):
        anew.go_on(before)
        assert len(anew.left) == 8
        assert "earlier_commits" not in anew.figures
    stopped["at_changes"]["done"] = 5
    (ended := progress()).go_on(stopped)
    assert len(ended.left) == 8
    assert ended.figures["at_changes"]["done"] == 0


def test_what_was_not_made_good_in_an_ended_campaign_is_repeated_alone_until_it_is() -> None:
    class MadeGood:
        def kill(self, _: Moment) -> dict[str, float]:
            return {"killed": 1, "orphan_seconds": 0.0}

    told = (
        "c, killed somehow of 4 changes, 1.00 s (python -m torture.kills 'c' {}), after it was run again: a"
    )
    counts = {"planned": 4, "done": 4, "killed": 4, "failed": [], "longest_orphan_seconds": 0.0}
    plan = {"command": "c", "arguments": "a", "changes": 4, "stride": 1, "sides": ["before"]}
    failed = {"at_changes": ["--change 3 --after", "--change 1"], "at_random": ["--seconds 0.0857"]}
    ended = {
        part: dict(counts, killed=4 - len(each), failed=[told.format(options) for options in each])
        for part, each in failed.items()
    }
    moments = [Moment(3, after=True), Moment(1), Moment(seconds=0.0857)]
    before: dict[str, Any] = {**plan, **ended}
    for repeated in range(4):  # each time it is stopped after one
        fresh = {**plan, "at_changes": dict(counts, done=0), "at_random": dict(counts, done=0)}
        every = [Moment(change) for change in range(1, 9)]
        progress = Progress((cast("Campaign", MadeGood()),), every, fresh)
        progress.go_on({"commit": "old", **before})
        assert progress.left == (moments[repeated:] or every)
        if not moments[repeated:]:
            break
        progress.kill(1)
        assert progress.left == moments[repeated + 1 :]
        before = json.loads(json.dumps(progress.figures))
        assert sum(len(before[part]["failed"]) for part in failed) == 2 - repeated
        assert [before[part]["done"] for part in failed] == [4, 4]
    assert [before[part]["killed"] for part in failed] == [4, 4]


@pytest.mark.torture
@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_killed_at_each_change_and_at_random_moments(name: str, tmp_path: Path) -> None:
    print(f"seed {SEED}")
    measure([name], LONG_MOMENTS, 1, SEED, tmp_path / "kills.json")
    figures = json.loads((tmp_path / "kills.json").read_text(encoding="utf-8"))["commands"][name]
    assert figures["at_changes"]["failed"] == figures["at_random"]["failed"] == []
