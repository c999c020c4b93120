#!/usr/bin/env python3
"""A BIDS data set processed by Dask workers that SLURM starts.

    pip install '.[cluster]' dask-jobqueue   (in a clone of the repository)
    python cluster/dask_slurm.py STUDY STUDY/derivatives/pseudohealthy [options of pseudohealthy-bids]

Run it where jobs can be submitted and which the compute nodes can reach, and leave it running (tmux, or a
small job of its own): it is the scheduler. It submits one SLURM job a worker, sends every subject to
whichever worker is free, and ends the jobs. The subjects of a worker that is killed (time limit, preemption)
go to the others, and a new worker is requested from SLURM. Started again, it does what is left.

For PBS, LSF, SGE or HTCondor take that class of dask_jobqueue instead of SLURMCluster. With a scheduler that
runs already (`dask scheduler`, `dask worker ADDRESS --nthreads 1`) this file is not needed:
`pseudohealthy-bids STUDY OUT participant --dask ADDRESS`.
"""

from __future__ import annotations

import subprocess
import sys

from dask_jobqueue import SLURMCluster

# --- what to change for your cluster -----------------------------------------------------------------
WORKERS = 10  # SLURM jobs at once
CORES = 4  # of one job, all for one subject at a time
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
    """Jobs of one worker each, which does one subject at a time (`cores=1`) with all of the job's cores."""
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


def main() -> int:
    """Start the workers, process the data, end the workers; returns the exit code of pseudohealthy-bids."""
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    bids_dir, out_dir, *options = sys.argv[1:]
    with cluster() as workers:
        workers.adapt(minimum=WORKERS, maximum=WORKERS)  # unlike scale(): a lost worker is requested again
        program = [sys.executable, "-m", "pseudohealthy.cli.bids_app", bids_dir, out_dir, "participant"]
        return subprocess.call([*program, "--dask", workers.scheduler_address, *options])


if __name__ == "__main__":
    sys.exit(main())
