#!/usr/bin/env bash
# Starts a Slurm cluster of two nodes on this machine and runs the scripts of examples/slurm on it:
# arrays whose parts are joined to the bytes of a single run, requeued tasks that resume, parts with
# failures, two tasks that would write one file, and the GPU that Slurm lends; then the Snakemake
# workflow, by itself and through Snakemake's Slurm executor. Prints what the cluster said. Slurm and munge are installed (Debian's packages) where this runs as root and they are missing;
# where they cannot be had the check says so and passes. LIMIT (600) is its limit in seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${CHECK_SLURM_LIMITED:-}" ]; then
    CHECK_SLURM_LIMITED=1 exec timeout --kill-after=20 "${LIMIT:-600}" bash "$0"
fi
skip() { echo "skipped: $*"; exit 0; }

[ "$(id -u)" -eq 0 ] || skip "a Slurm cluster is started by root only"
if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v munged >/dev/null; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        slurm-wlm munge; } >/dev/null 2>&1 || skip "slurm-wlm and munge cannot be installed"
fi

# Jobs of Snakemake look for the configuration in its usual place.
[ ! -e /etc/slurm/slurm.conf ] || skip "this machine has a Slurm configuration of its own"

target=$(realpath "${CARGO_TARGET_DIR:-target}")
[ -n "${SESSILE:-}" ] || cargo build --quiet --package sessile-cli
sessile=${SESSILE:-$target/debug/sessile}
root=$PWD golden=$PWD/tests/golden examples=$PWD/examples/slurm
folder=$(mktemp -d)
finish() {
    status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 15 "$folder"/slurmctld.log "$folder"/work/*.log "$folder"/work/slurm-*.out >&2 2>/dev/null || true
    fi
    rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
    for pid in "$folder"/*.pid; do [ -s "$pid" ] && kill "$(cat "$pid")" 2>/dev/null; done
    sleep 1
    rm -rf "$folder"
    exit "$status"
}
trap finish EXIT

# The cluster.
mkdir "$folder"/{state,spool.node1,spool.node2,work,bin}
for file in slurm.conf gres.conf; do
    sed "s|FOLDER|$folder|g; s|HOST|$(hostname)|g; s|CPUS|$(nproc)|g" "xtask/check-slurm/$file" \
        >"$folder/$file"
    ln -s "$folder/$file" "/etc/slurm/$file"
done
export SLURM_CONF=$folder/slurm.conf
head -c 1024 /dev/urandom >"$folder/munge.key"
chmod 400 "$folder/munge.key"
munged --force --socket "$folder/munge.socket" --key-file "$folder/munge.key" \
    --pid-file "$folder/munge.pid" --log-file "$folder/munge.log" --seed-file "$folder/munge.seed"
slurmctld -c
for node in node1 node2; do slurmd -N "$node"; done
for _ in $(seq 100); do
    [ "$(sinfo --noheader --states=idle --format=%D)" = 2 ] && break
    sleep 0.2
done
[ "$(sinfo --noheader --states=idle --format=%D)" = 2 ] || { sinfo -R >&2; exit 1; }
sinfo --version
sinfo

# The jobs' own world: `sessile` on the path, 1 CPU each.
ln -s "$sessile" "$folder/bin/sessile"
export PATH=$folder/bin:$PATH
cd "$folder/work"
export MODEL=$golden/prostt5/tiny HEAD_FILE=$golden/prostt5/tiny/cnn/model.safetensors MIN_AA=10
python3 - <<'PYTHON'
import random

random.seed(5)
with open("genomes.fa", "w") as file:
    for record in range(60):
        bases = "".join(random.choices("ACGT", k=random.randint(600, 6000)))
        file.write(f">genome_{record}\n{bases}\n")
with open("bad.fa", "w") as file:
    file.write("".join(f">ok_{i}\nATGAAACCCGGGTTTACGACGACGACGATGAAACCC\n" for i in range(8)))
    file.write(">bad\nATG!!AAA\n")
PYTHON

small=(--cpus-per-task=1 --mem=1G --time=10 --array=1-4)
submit() { sbatch --parsable "${small[@]}" "$@"; }
# Waits until a job has left the queue and prints how each of its tasks ended.
ended() {
    local job=$1
    while squeue --noheader --jobs "$job" 2>/dev/null | grep -q .; do sleep 0.3; done
    scontrol --oneliner show job "$job" | grep -o 'JobState=[A-Z]*\|ExitCode=[0-9:]*\|Restarts=[0-9]*' | paste -sd' '
}
say() { printf '%s\n' "$*"; }
state() { scontrol --oneliner show job "$1" | grep -o "$2=[^ ]*" | sort | uniq -c | paste -sd' '; }

say "== entropy in four parts, merged by afterok"
sessile entropy run --quiet --input genomes.fa --model "$MODEL" --head "$HEAD_FILE" \
    --min-aa "$MIN_AA" --output whole.json
shards=$(submit "$examples/entropy.sh" genomes.fa)
merge=$(sbatch --parsable --dependency=afterok:"$shards" --wrap \
    'sessile merge genomes.json.part-* --output genomes.json')
ended "$merge"
cmp whole.json genomes.json
say "the same $(wc -c <genomes.json) bytes as one run; $(state "$shards" JobState)"

say "== tasks requeued in the middle of their work"
rm genomes.json*
shards=$(submit "$examples/entropy.sh" genomes.fa)
for _ in $(seq 200); do
    ls genomes.json.part-*.journal >/dev/null 2>&1 && break
    sleep 0.1
done
sleep 1
scontrol requeue "$shards" || true
ended "$shards"
sessile merge --quiet genomes.json.part-* --output genomes.json
cmp whole.json genomes.json
grep -ho 'resuming after.*' slurm-"$shards"_*.out || say "(no part had finished work when it was requeued)"
say "the same bytes; $(state "$shards" Restarts)"

say "== a record that fails: exit code 3 is a finished part"
rm genomes.json*
shards=$(submit "$examples/entropy.sh" bad.fa)
merge=$(sbatch --parsable --dependency=afterok:"$shards" --wrap \
    'sessile merge genomes.json.part-* --output bad.json --failures failed.jsonl || [ $? -eq 3 ]')
ended "$merge"
[ "$(python3 -c 'import json; print(len(json.load(open("bad.json"))))')" = 8 ]
grep -h . failed.jsonl

say "== two tasks, one file: one of them is refused"
job=$(sbatch --parsable --array=1-2 --cpus-per-task=1 --mem=1G --wrap \
    "sessile entropy run --input $PWD/genomes.fa --model $MODEL --head $HEAD_FILE --min-aa 10 --output one.json")
ended "$job"
cat slurm-"$job"_*.out
[ "$(grep -l '^error' slurm-"$job"_*.out | wc -l)" = 1 ]
cmp whole.json one.json

export GIANT=${GIANT:-100000}
say "== 500 files in two tasks, two files each; a record of $GIANT residues"
python3 - <<'PYTHON'
import os, random

random.seed(6)
os.mkdir("proteomes")
for file in range(500):
    with open(f"proteomes/{file:03}.faa", "w") as out:
        for record in range(3):
            residues = "".join(random.choices("ACDEFGHIKLMNPQRSTVWY", k=random.randint(20, 80)))
            out.write(f">p{file}_{record}\n{residues}\n")
with open("proteomes/500.faa", "w") as out:
    out.write(">giant\n" + "".join(random.choices("ACDEFGHIKLMNPQRSTVWY", k=int(os.environ["GIANT"]))) + "\n")
PYTHON
ls proteomes/*.faa >files.txt
job=$(MODEL=$golden/esm2/tiny_a sbatch --parsable --array=1-3 --cpus-per-task=1 --mem=1G --time=10 \
    "$examples/embed.sh" files.txt)
ended "$job"
ls vectors
[ "$(find vectors -type f | wc -l)" = 6 ]
grep -h 'embedded\|residues' slurm-"$job"_*.out | head -n 3

say "== the GPU that a task was lent"
job=$(sbatch --parsable --ntasks=1 --gpus=1 --mem=1G --wrap \
    'echo "SLURM_JOB_GPUS=$SLURM_JOB_GPUS CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES"; sessile devices')
ended "$job"
cat slurm-"$job".out
grep -q 'SLURM_JOB_GPUS=[0-9]' slurm-"$job".out

say "== the workflow, on this machine and through Snakemake's Slurm executor"
venv=$target/venv-slurm
if ! cmp -s "$root/xtask/check-slurm/requirements.txt" "$venv/requirements.txt"; then
    { python3 -m venv --clear "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement "$root/xtask/check-slurm/requirements.txt"; } || skip "Snakemake cannot be installed"
    cp "$root/xtask/check-slurm/requirements.txt" "$venv/requirements.txt"
fi
{
    printf '%s\t%s\t%s\n' sample kind path proteins protein "$root/examples/proteins.fasta" \
        features genome "$golden/genome_entropy/v0_3/odd2.gbk" random genome "$PWD/genomes.fa" \
        contigs contigs "$golden/virnucpro/input500.fa"
} >samples.tsv
cat >config.yaml <<YAML
samples: samples.tsv
threads: 1
devices: cpu
dtype: f32
embed: {model: $golden/esm2/tiny_a, long: fail}
entropy: {model: $MODEL, head: $HEAD_FILE, min_aa: 10}
viral: {classifier: $golden/virnucpro/mlp/model.pth, chunk: 500, dnabert: $golden/dnabert_s/tiny_a, esm: $golden/esm2/tiny_a}
YAML
snakemake() {
    "$venv/bin/snakemake" --snakefile "$root/workflow/Snakefile" --configfile config.yaml "$@" \
        >snakemake.log 2>&1 || { tail -n 30 snakemake.log >&2; return 1; }
    grep -h 'steps (100%) done' snakemake.log
}
snakemake --cores 2 --config results=local
# The cluster has no accounting, so the executor asks squeue; its jobs find Snakemake and Sessile on the path.
PATH=$venv/bin:$PATH snakemake --executor slurm --jobs 4 --config results=cluster \
    --default-resources mem_mb=1000 runtime=10 --slurm-no-account --slurm-status-command squeue \
    --slurm-init-seconds-before-status-checks 2 --seconds-between-status-checks 2
(cd local && find . -type f ! -name '*.log' ! -name '.snakemake*' | sort) >files
(cd cluster && find . -type f ! -name '*.log' ! -name '.snakemake*' | sort) | cmp files -
while read -r file; do cmp "local/$file" "cluster/$file"; done <files
gzip -dc local/entropy/random.json.gz | cmp - whole.json
say "the same bytes: $(wc -l <files) files"
# A setting that does not exist is refused by name.
sed 's/min_aa/min_amino/' config.yaml >wrong.yaml
if "$venv/bin/snakemake" --snakefile "$root/workflow/Snakefile" --configfile wrong.yaml --dry-run >wrong.log 2>&1; then
    exit 1
fi
grep -o "'min_amino' was unexpected\|.*min_amino.*unexpected.*" wrong.log | head -n 1
say "ok"
