#!/usr/bin/env bash
# Embeddings of many FASTA files, so many a task that thousands of genomes are no thousands of files:
# each task reads FILES_A_TASK (250) of the files that a list names, and writes two: its vectors as
# Parquet, and the records that failed. Submit as many tasks as the list needs:
#
#   ls proteomes/*.faa.gz > files.txt
#   sbatch --array=1-$(( ($(wc -l < files.txt) + 249) / 250 )) examples/slurm/embed.sh files.txt
#
# Parquet readers take the folder `vectors` as one table. A task that is killed or requeued goes on where
# it stopped (its journal lies beside its file until it is done). Compute nodes need no network: fetch the
# weights first, by `sessile models pull facebook/esm2_t33_650M_UR50D`.
#SBATCH --job-name=embed
#SBATCH --gpus=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail

list=$1 size=${FILES_A_TASK:-250} task=$SLURM_ARRAY_TASK_ID
mkdir -p vectors
export HF_HUB_OFFLINE=1
output=vectors/part-$task.parquet
if [ -e "$output" ] && [ ! -e "$output.journal" ]; then
    echo "$output is finished"
    exit 0
fi
mapfile -t inputs < <(sed -n "$(((task - 1) * size + 1)),$((task * size))p" "$list")
code=0
srun sessile embed --input "${inputs[@]}" \
    --model "${MODEL:-facebook/esm2_t33_650M_UR50D}" --outputs "${OUTPUTS:-mean}" --long windows \
    --threads "$SLURM_CPUS_PER_TASK" \
    --failures "vectors/failed-$task.jsonl" \
    --output "$output" || code=$?
# 3: done, but some records failed.
[ "$code" -eq 3 ] || exit "$code"
