#!/usr/bin/env bash
# A BIDS data set processed by a SLURM job array: each task does its part of the subjects, independently of the others.
#
#   sbatch --array=1-20 cluster/slurm_array.sh STUDY STUDY/derivatives/pseudohealthy
#
# and when all are done, once:
#
#   pseudohealthy-bids STUDY STUDY/derivatives/pseudohealthy group
#
# The same line again does what is left: finished images are skipped, failed ones tried again.
# More options go behind the folders: --participant-label 01 02, --blend, --weights FOLDER.
#
#SBATCH --job-name=pseudohealthy
#SBATCH --cpus-per-task=4
#SBATCH --mem=10G
#SBATCH --time=02:00:00
#SBATCH --output=pseudohealthy-%A_%a.log
# For a GPU remove one # of the next line:
##SBATCH --gres=gpu:1

set -euo pipefail

if (( $# < 2 )); then
    echo "usage: sbatch --array=1-N $0 BIDS_DIR OUT_DIR [options of pseudohealthy-bids]" >&2
    exit 2
fi
bids_dir=$1 out_dir=$2
shift 2

# Where the program is installed: a virtual environment, a module, or a container. Change this to yours.
# source "$HOME/venvs/pseudohealthy/bin/activate"
# program=(apptainer run --nv pseudohealthy.sif)      # the folders must be bound: -B /study
program=(pseudohealthy-bids)

# Arrays may begin at any number (--array=0-19, --array=5-9); --shard counts from 1 and knows the whole.
: "${SLURM_ARRAY_TASK_ID:?not in a job array; submit it with sbatch --array=1-N}"
part=$(( SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1 ))
if (( SLURM_ARRAY_TASK_MAX - SLURM_ARRAY_TASK_MIN + 1 != SLURM_ARRAY_TASK_COUNT )); then
    echo "the array has gaps or a step; expected one such as --array=1-20, else subjects would be left out" >&2
    exit 2
fi

# torch takes as many threads as the task has cores, not as the machine has.
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

exec "${program[@]}" "$bids_dir" "$out_dir" participant --shard "$part/$SLURM_ARRAY_TASK_COUNT" "$@"
