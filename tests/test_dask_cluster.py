"""What is said of a cluster that cannot be used; how calls go to workers is tested where there are some."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fixtures.dask_programs import PATIENCE, scheduler, wait_for, worker
from pseudohealthy import dask_cluster
from pseudohealthy.dask_cluster import call_on_workers, connected, workers_of
from pseudohealthy.errors import InputError


def test_nobody_at_the_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "SCHEDULER_TIMEOUT", 1)
    for address in ("tcp://127.0.0.1:1", "nonsense://here"):
        refused = pytest.raises(InputError, match=f"--dask {address}: no scheduler answers there")
        with refused, connected(address, print):
            pass


def test_without_dask_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    refused = pytest.raises(InputError, match=r"pip install '\.\[cluster\]'")
    with refused, connected("tcp://127.0.0.1:1", print):
        pass


def test_workers_are_counted_and_another_version_is_refused(tmp_path: Path) -> None:
    """Another numpy is only told; another version of this package is not asked to do anything."""
    for name, version in (("pseudohealthy", "0.0.1"), ("numpy", "0.9")):
        about = tmp_path / name / f"{name}-{version}.dist-info/METADATA"
        about.parent.mkdir(parents=True)
        about.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    path = ":".join(sys.path)
    with scheduler(tmp_path) as address:
        lines: list[str] = []
        with connected(address, lines.append) as client:
            assert lines == [f"0 workers at {address}; waiting for the first"]
            with worker(address, tmp_path / "a", PYTHONPATH=f"{tmp_path / 'numpy'}:{path}"):
                wait_for(lambda: workers_of(client))
                with connected(address, lines.append) as another:
                    ((number, future),) = call_on_workers(another, divmod, [("divide", (7, 2))])
                    assert (number, future.result()) == (0, (3, 1))
        assert lines[1] == f"1 workers at {address}"
        assert any(line.startswith("note: numpy is ") and "here, 0.9 on the worker" in line for line in lines)
        with connected(address, lines.append) as client:
            wait_for(lambda: not workers_of(client))
            with worker(address, tmp_path / "b", PYTHONPATH=f"{tmp_path / 'pseudohealthy'}:{path}"):
                wait_for(lambda: workers_of(client))
                words = r"pseudohealthy is \S+ here, 0\.0\.1 on the worker tcp"
                with pytest.raises(InputError, match=words), connected(address, lines.append):
                    pass


def test_a_call_at_which_workers_die_is_tried_as_often_as_is_said(tmp_path: Path) -> None:
    tried = tmp_path / "tried"
    die = f"(open({str(tried)!r}, 'ab', 0).write(b'x'), __import__('os')._exit(9))"
    with (
        scheduler(tmp_path, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as address,
        worker(address, tmp_path / "a") as one,
        worker(address, tmp_path / "b") as two,
        connected(address, lambda _: None) as client,
    ):
        ((number, future),) = call_on_workers(client, eval, [("die", (die,))], trials=2)
        assert (number, type(future.exception()).__name__) == (0, "KilledWorker")
        assert (one.wait(PATIENCE), two.wait(PATIENCE)) == (9, 9)
    assert tried.read_text() == "xx"
