#!/usr/bin/env bash
# A viral prediction in sixteen parts, and a job that joins them:
#
#   parts=$(sbatch --parsable examples/slurm/viral.sh genomes.fa)
#   sbatch --dependency=afterok:"$parts" --wrap \
#       'sessile viral merge parts/part-*/ --output results'
#
# A part with records that failed (exit code 3) is a finished part: the script ends with 0, so that the
# merge starts. What failed stands in parts/part-N/failed.tsv. Any other code keeps the merge waiting.
#
# A part that is killed (time limit, lost node) goes on where it stopped: its journal lies beside its
# folder. Submit the whole array again, not some of its numbers: the parts are counted by the array's
# size. Parts that are finished are left as they are.
#SBATCH --job-name=viral
#SBATCH --array=1-16
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail

input=$1
mkdir -p parts
output=parts/part-$SLURM_ARRAY_TASK_ID
# A folder with results and without a journal beside it is whole.
if [ -e "$output/prediction_results.txt" ] && [ ! -e "$output.journal" ]; then
    echo "$output is finished"
    exit 0
fi
code=0
# srun hands on SIGTERM two minutes before the time limit: what is finished is written down.
srun sessile viral predict "$input" \
    --classifier "${CLASSIFIER:-500_model.pth}" --chunk "${CHUNK:-500}" \
    --dnabert "${DNABERT:-zhihan1996/DNABERT-S}" --esm "${ESM:-esm2_t36_3B}" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --threads "$SLURM_CPUS_PER_TASK" \
    --output "$output" || code=$?
# 3: done, but some records failed.
[ "$code" -eq 3 ] || exit "$code"
