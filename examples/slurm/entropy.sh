#!/usr/bin/env bash
# Genome entropy in sixteen shards on nodes with NVIDIA GPUs, and a job that joins them. Compute nodes
# need no network: fetch the weights first, where there is one.
#
#   sessile models pull Rostlab/ProstT5
#   shards=$(sbatch --parsable examples/slurm/entropy.sh genomes.fa)
#   sbatch --dependency=afterok:"$shards" --wrap \
#       'sessile merge genomes.json.part-* --output genomes.json --failures failed.jsonl || [ $? -eq 3 ]'
#
# A shard with records that failed (exit code 3) is done: the script ends with 0, so that the merge starts,
# which lists what failed. Any other code keeps the merge waiting.
#
# A shard that is killed (time limit, lost node) resumes where it stopped: its journal lies beside its
# part. Submit the whole array again, not some of its numbers: shards are counted by the array's size.
# Parts that are whole are left as they are.
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
# Nothing is looked for on the network; HF_HOME names the cache where it is not the usual one.
export HF_HUB_OFFLINE=1
part=genomes.json.part-$SLURM_ARRAY_TASK_ID-of-$SLURM_ARRAY_TASK_COUNT
# A part without a journal beside it is whole.
if [ -e "$part" ] && [ ! -e "$part.journal" ]; then
    echo "$part is finished"
    exit 0
fi
code=0
# srun hands on SIGTERM two minutes before the time limit: what is finished is written down.
srun sessile entropy run --input "$input" \
    --model "${MODEL:-Rostlab/ProstT5}" --head "${HEAD_FILE:?name the 3Di head, cnn_chkpnt/model.pt}" \
    --table "${TABLE:-11}" --min-aa "${MIN_AA:-30}" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --threads "$SLURM_CPUS_PER_TASK" \
    --output genomes.json || code=$?
# 3: done, but some records failed.
[ "$code" -eq 3 ] || exit "$code"
