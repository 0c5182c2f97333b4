#!/usr/bin/env bash
# A viral prediction in sixteen parts, and a job that joins them:
#
#   parts=$(sbatch --parsable examples/slurm/viral.sh genomes.fa)
#   sbatch --dependency=afterok:"$parts" --wrap \
#       'sessile viral merge parts/part-* --output results'
#
# A part that is killed (time limit, lost node) goes on where it stopped when it is submitted again:
# its journal lies beside its folder.
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
# srun hands on SIGTERM two minutes before the time limit: what is finished is written down.
srun sessile viral predict "$input" \
    --classifier "${CLASSIFIER:-500_model.pth}" --chunk "${CHUNK:-500}" \
    --dnabert "${DNABERT:-zhihan1996/DNABERT-S}" --esm "${ESM:-esm2_t36_3B}" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --threads "$SLURM_CPUS_PER_TASK" \
    --output "parts/part-$SLURM_ARRAY_TASK_ID"
