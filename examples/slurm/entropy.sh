#!/usr/bin/env bash
# Genome entropy in sixteen parts on nodes with NVIDIA GPUs, and a job that joins them. Compute nodes
# need no network: fetch the weights first, where there is one.
#
#   sessile models pull Rostlab/ProstT5
#   parts=$(sbatch --parsable examples/slurm/entropy.sh genomes.fa)
#   sbatch --dependency=afterok:"$parts" --wrap \
#       'sessile entropy merge parts/part-*.json --output genomes.json'
#
# A part with records that failed (exit code 3) is a finished part: the script ends with 0, so that the
# merge starts. What failed stands in parts/failed-N.jsonl. Any other code keeps the merge waiting.
#
# A part that is killed (time limit, lost node) goes on where it stopped: its journal lies beside its
# file. Submit the whole array again, not some of its numbers: the parts are counted by the array's size.
# Parts that are finished are left as they are.
#SBATCH --job-name=entropy
#SBATCH --array=1-16
#SBATCH --gpus-per-task=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail

input=$1
mkdir -p parts
# Nothing is looked for on the network; HF_HOME names the cache where it is not the usual one.
export HF_HUB_OFFLINE=1
output=parts/part-$SLURM_ARRAY_TASK_ID.json
# A file without a journal beside it is whole.
if [ -e "$output" ] && [ -e "$output.part" ] && [ ! -e "$output.journal" ]; then
    echo "$output is finished"
    exit 0
fi
code=0
# srun hands on SIGTERM two minutes before the time limit: what is finished is written down.
srun sessile entropy run --input "$input" \
    --model "${MODEL:-Rostlab/ProstT5}" --head "${HEAD_FILE:?name the 3Di head, cnn_chkpnt/model.pt}" \
    --table "${TABLE:-11}" --min-aa "${MIN_AA:-30}" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --threads "$SLURM_CPUS_PER_TASK" \
    --failures "parts/failed-$SLURM_ARRAY_TASK_ID.jsonl" \
    --output "$output" || code=$?
# 3: done, but some records failed.
[ "$code" -eq 3 ] || exit "$code"
