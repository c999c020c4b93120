"""The templates for clusters and the container's recipe: they run, and name options that exist."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from fixtures.cohorts import study
from fixtures.experiments import SMOKE
from fixtures.models import saved
from pseudohealthy.cli.bids_app import app
from pseudohealthy.cli.main import app as program

ROOT = Path(__file__).resolve().parents[1]
ARRAY, DASK = ROOT / "cluster/slurm_array.sh", ROOT / "cluster/dask_slurm.py"
COMMANDS = [get_command(app), *get_command(program).commands.values()]  # type: ignore[attr-defined]
OPTIONS = {name for command in COMMANDS for option in command.params for name in option.opts}


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def array(tmp_path: Path, *arguments: object, **slurm: object) -> subprocess.CompletedProcess[str]:
    """The template run with a program that only says what it was called with."""
    script(tmp_path / "bin/pseudohealthy-bids", 'printf "%s\\n" "$OMP_NUM_THREADS" "$@"')
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    environment |= {f"SLURM_{name}": str(value) for name, value in slurm.items()}
    command = ["bash", str(ARRAY), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_shell_reads_the_template() -> None:
    subprocess.run(["bash", "-n", ARRAY], check=True)


@pytest.mark.parametrize("path", [ARRAY, DASK, ROOT / "Dockerfile"], ids=lambda path: path.name)
def test_options_of_ours_that_are_named_exist(path: Path) -> None:
    theirs = {
        "--array",
        "--nthreads",
        "--job-name",
        "--cpus-per-task",
        "--mem",
        "--time",
        "--output",
        "--gres",
        "--nv",
    }
    theirs |= {"--rm", "--network", "--user", "--build-arg", "--gpus", "--index-url", "--constraint"}
    theirs |= {"--create-home", "--uid", "--help"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", path.read_text()))
    assert named - theirs <= OPTIONS


@pytest.mark.parametrize(
    ("first", "last", "task", "part"), [(1, 20, 20, "20/20"), (0, 9, 0, "1/10"), (5, 6, 6, "2/2")]
)
def test_each_task_of_an_array_gets_its_part(
    tmp_path: Path, first: int, last: int, task: int, part: str
) -> None:
    slurm = {"ARRAY_TASK_ID": task, "ARRAY_TASK_MIN": first, "ARRAY_TASK_MAX": last, "CPUS_PER_TASK": 4}
    result = array(tmp_path, "a study", "out", "--blend", **slurm, ARRAY_TASK_COUNT=last - first + 1)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["4", "a study", "out", "participant", "--shard", part, "--blend"]


def test_an_array_that_would_leave_subjects_out_is_refused(tmp_path: Path) -> None:
    slurm = {"ARRAY_TASK_ID": 2, "ARRAY_TASK_MIN": 0, "ARRAY_TASK_MAX": 8}
    result = array(tmp_path, "study", "out", **slurm, ARRAY_TASK_COUNT=5)  # --array=0-9:2
    assert (result.returncode, result.stdout) == (2, "")
    assert "gaps or a step" in result.stderr
    assert "not in a job array" in array(tmp_path, "study", "out").stderr
    assert "usage: sbatch" in array(tmp_path, "study").stderr


def run_on_slurm(tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The template with programs in SLURM's place that run a job on this machine, in the background."""
    pytest.importorskip("dask_jobqueue")
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    told = {"NTASKS": 1, "PROCID": 0, "LOCALID": 0, "NODEID": 0, "JOB_ID": 12345, "JOB_NAME": "dask-worker"}
    variables = " ".join(f"SLURM_{name}={value}" for name, value in told.items())
    # like SLURM it keeps a copy of the script, which is gone as soon as it is submitted
    sent = f'cp "$1" {jobs}/$$.sh; {variables} setsid bash {jobs}/$$.sh >{jobs}/$$.log 2>&1 &'
    script(tmp_path / "bin/sbatch", f'{sent} echo "Submitted batch job $!"')
    script(tmp_path / "bin/scancel", 'for job in "$@"; do kill -- "-$job" 2>/dev/null; done; true')
    text = DASK.read_text()
    for setting, value in {"WORKERS": "2", "CORES": "1", "MEMORY": '"2GB"', "INTERFACE": '"lo"'}.items():
        text, times = re.subn(rf"(?m)^{setting} = \S+", f"{setting} = {value}", text)
        assert times == 1
    (tmp_path / "dask_slurm.py").write_text(text)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    result = subprocess.run(
        [sys.executable, str(tmp_path / "dask_slurm.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stderr + "".join(path.read_text() for path in jobs.glob("*.log"))
    (job, *_) = jobs.glob("*.sh")
    assert "--cpus-per-task=1" in job.read_text()
    assert "--nthreads 1" in job.read_text()
    return result


@pytest.mark.slow
def test_workers_that_slurm_starts_process_the_data_set(tmp_path: Path) -> None:
    raw, out = study(tmp_path / "study", 4), tmp_path / "out"
    result = run_on_slurm(tmp_path, raw, out, "--weights", saved(tmp_path / "weights"))
    assert "4 done, 0 skipped, 0 failed" in result.stdout


@pytest.mark.slow
def test_workers_that_slurm_starts_do_an_experiment(tmp_path: Path) -> None:
    smaller = (
        "methods=[{method: conditional_gan}, {method: paired}]",
        "resegmentation_steps=2",
        "data.phantom.patients=9",
    )
    options = [word for setting in smaller for word in ("--set", setting)]
    result = run_on_slurm(tmp_path, "reproduce", SMOKE, "-o", "out", *options)  # a folder as seen from here
    assert "train paired-default-s0 done" in result.stderr
    assert (tmp_path / "out/results/table1.json").is_file()


def test_the_container_holds_no_more_than_its_recipe_needs() -> None:
    """Everything is left out but what `COPY` names, so that no patient's image can slip in."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    recipe = (ROOT / "Dockerfile").read_text()
    copied = {
        name
        for names in re.findall(r"^COPY (.+) /build/\S*$", recipe, re.MULTILINE)
        for name in names.split()
    }
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line[0] == "!"} == copied
    assert all((ROOT / name).exists() for name in copied)
    assert 'ENTRYPOINT ["pseudohealthy-bids"]' in recipe
    assert recipe.index("USER app") < recipe.index("ENTRYPOINT")
