#!/usr/bin/env bash
# A viral prediction in sixteen shards, and a job that joins their parts:
#
#   shards=$(sbatch --parsable examples/slurm/viral.sh genomes.fa)
#   sbatch --dependency=afterok:"$shards" --wrap \
#       'sessile merge results.part-* --output results || [ $? -eq 3 ]'
#
# A shard with records that failed (exit code 3) is done: the script ends with 0, so that the merge
# starts. What failed stands in results/failed.tsv. Any other code keeps the merge waiting.
#
# A shard that is killed (time limit, lost node) resumes where it stopped: its journal lies beside its
# part. Submit the whole array again, not some of its numbers: shards are counted by the array's size.
# Parts that are whole are left as they are.
#SBATCH --job-name=viral
#SBATCH --array=1-16
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail

input=$1
part=results.part-$SLURM_ARRAY_TASK_ID-of-$SLURM_ARRAY_TASK_COUNT
# A part without a journal beside it is whole.
if [ -e "$part" ] && [ ! -e "$part.journal" ]; then
    echo "$part is finished"
    exit 0
fi
code=0
# srun hands on SIGTERM two minutes before the time limit: what is finished is written down.
srun sessile viral predict "$input" \
    --classifier "${CLASSIFIER:-500_model.pth}" --chunk "${CHUNK:-500}" \
    --dnabert "${DNABERT:-zhihan1996/DNABERT-S}" --esm "${ESM:-esm2_t36_3B}" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --threads "$SLURM_CPUS_PER_TASK" \
    --output results || code=$?
# 3: done, but some records failed.
[ "$code" -eq 3 ] || exit "$code"
