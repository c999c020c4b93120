#!/usr/bin/env python3
"""A BIDS data set, or an experiment, done by Dask workers that SLURM starts.

    pip install '.[cluster]' dask-jobqueue   (in a clone of the repository)
    python cluster/dask_slurm.py STUDY STUDY/derivatives/pseudohealthy [options of pseudohealthy-bids]
    python cluster/dask_slurm.py reproduce EXPERIMENT --data COHORT -o OUT [options of reproduce]

Run it where jobs can be submitted and which the compute nodes can reach, and leave it running (tmux, or a
small job of its own): it is the scheduler. It submits one SLURM job a worker, sends every subject, or every
training and measurement, to whichever worker is free, and ends the jobs. What a worker was at when it was
killed (time limit, preemption) goes to another, a training from its last checkpoint, and a new worker is
requested from SLURM. Started again, it does what is left.

For PBS, LSF, SGE or HTCondor take that class of dask_jobqueue instead of SLURMCluster. With a scheduler that
runs already (`dask scheduler`, `dask worker ADDRESS --nthreads 1`) this file is not needed: give `--dask
ADDRESS` to `pseudohealthy-bids STUDY OUT participant` or `pseudohealthy reproduce`.
"""

from __future__ import annotations

import subprocess
import sys

from dask_jobqueue import SLURMCluster

# --- what to change for your cluster -----------------------------------------------------------------
WORKERS = 10  # SLURM jobs at once
CORES = 4  # of one job, all for one subject or training at a time
MEMORY = "8GB"  # of one job
WALLTIME = "02:00:00"
QUEUE = None  # the partition; None: the default one
ACCOUNT = None
INTERFACE = None  # the network by which nodes reach this machine, such as "ib0"; None: detected
EXTRA: list[str] = []  # more lines of #SBATCH, such as ["--gres=gpu:1"]
BEFORE = [  # lines of shell before the worker starts, such as "source $HOME/venvs/pseudohealthy/bin/activate"
    # Dask gives each worker one thread of OpenMP, whatever it may use:
    f"export DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON__OMP_NUM_THREADS={CORES}",
]
# ----------------------------------------------------------------------------------------------------


def cluster() -> SLURMCluster:
    """Jobs of one worker each, which does one thing at a time (`cores=1`) with all of the job's cores."""
    return SLURMCluster(
        cores=1,
        processes=1,
        job_cpu=CORES,
        memory=MEMORY,
        walltime=WALLTIME,
        queue=QUEUE,
        account=ACCOUNT,
        interface=INTERFACE,
        job_extra_directives=EXTRA,
        job_script_prologue=BEFORE,
        python=sys.executable,  # the same program on the workers as here
    )


def program(arguments: list[str], address: str) -> list[str]:
    """The command that does what the arguments say on the workers of the scheduler at the address."""
    if arguments[0] == "reproduce":
        words = ["pseudohealthy", *arguments, "--dask", address]
    else:
        bids_dir, out_dir, *options = arguments
        words = ["pseudohealthy.cli.bids_app", bids_dir, out_dir, "participant", "--dask", address, *options]
    return [sys.executable, "-m", *words]


def main() -> int:
    """Start the workers, do the work, end the workers; returns the exit code of the program."""
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    with cluster() as workers:
        workers.adapt(minimum=WORKERS, maximum=WORKERS)  # unlike scale(): a lost worker is requested again
        return subprocess.call(program(sys.argv[1:], workers.scheduler_address))


if __name__ == "__main__":
    sys.exit(main())
