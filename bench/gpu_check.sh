#!/usr/bin/env bash
# What a GPU machine must show, from a copied binary: `bench/gpu_check.sh [path/to/sessile]`.
#
# Needs the binary, bash and python3; makes its models (random weights) and sequences itself below
# SESSILE_CHECK_FOLDER (a temporary folder otherwise), downloads nothing, and ends within 8 minutes:
# what is not done by then is said to be skipped. SESSILE_CHECK_LARGE=1 adds the model with 3 billion
# parameters (6 GB on the disk, beside 6 GB for the others). Prints a table; raw outputs stay in the
# folder. Where `compare/` lies beside this script and python3 has PyTorch with CUDA and transformers,
# they are measured in turn.
#
# Correctness is judged by the reference outputs of tests/golden, where that folder lies beside bench/ or
# SESSILE_CHECK_GOLDEN names it, and against the processor in f32 on the same machine. With a source tree
# and Rust at hand `cargo test` runs the whole golden suite on the GPU.
set -uo pipefail
sessile=$(realpath "${1:-sessile}")
scripts=$(dirname "$(realpath "$0")")
[ -x "$sessile" ] || { echo "usage: $0 path/to/sessile" >&2; exit 2; }
folder=${SESSILE_CHECK_FOLDER:-$(mktemp -d)}
mkdir -p "$folder" && cd "$folder" || exit 2
limit=460
begun=$SECONDS
rows=()
failed=0

row() {
    # What was not begun has not failed.
    if [ "$2" = FAIL ] && [ "$3" = "no time left" ]; then set -- "$1" skip "$3"; fi
    rows+=("$1|$2|$3")
    printf '%-44s %-6s %s\n' "$1" "$2" "$3"
    [ "$2" != FAIL ] || failed=1
}
left() { echo $((limit - (SECONDS - begun))); }
# run NAME SECONDS COMMAND…: within its own time and that of the whole; the output is kept.
run() {
    local name=$1 most=$2 rest
    shift 2
    rm -f "$name.out" "$name.err"
    rest=$(left)
    [ "$rest" -gt 5 ] || return 99
    timeout $((most < rest ? most : rest)) "$@" >"$name.out" 2>"$name.err"
}
# Why a command failed; nothing of it is there when there was no time left.
why() { [ -e "$1.err" ] || { echo "no time left"; return; }; tail -n 2 "$1.err" | tr '\n' ' ' | cut -c 1-160; }
embed() { # NAME MODEL OUTPUTS OPTIONS…
    local name=$1 model=$2 outputs=$3
    shift 3
    run "$name" 120 "$sessile" embed --model "$model" --input mixed.fasta --output "$name.jsonl" \
        --outputs "$outputs" --no-journal --force "$@"
}

python3 - <<'PY'
import random
random.seed(7)
def write(name, letters, lengths):
    with open(name, "w") as out:
        for index, length in enumerate(lengths):
            out.write(f">s{index}\n{''.join(random.choice(letters) for _ in range(length))}\n")
protein, dna = "LAGVSERTIDPKQNFYMHWC", "ACGT"
tiles = [1, 2, 3, 14, 30, 31, 62, 63, 64, 65, 126, 127, 128, 190, 254, 300, 510, 700, 1000]
write("mixed.fasta", protein, tiles + [random.randint(20, 600) for _ in range(60)])
write("few.fasta", protein, [1, 2, 3, 31, 62, 63, 64, 65, 127, 130, 250])
write("mixed_dna.fasta", dna, tiles + [random.randint(20, 600) for _ in range(30)])
PY
cat >compare.py <<'PY'
"""compare.py EXPECTED FOUND: the worst difference relative to the largest value, the worst cosine."""
import json, math, sys
def numbers(value):
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from numbers(value[key])
def records(path):
    return [list(numbers({k: v for k, v in json.loads(line).items() if isinstance(v, (list, dict))})) for line in open(path)]
expected, found = records(sys.argv[1]), records(sys.argv[2])
if len(expected) != len(found) or not expected:
    sys.exit(f"{len(found)} records for {len(expected)}")
worst, cosine = 0.0, 1.0
for a, b in zip(expected, found):
    if len(a) != len(b) or not all(map(math.isfinite, b)):
        sys.exit("a record differs in shape or is not finite")
    largest = max(map(abs, a), default=1.0) or 1.0
    worst = max(worst, max((abs(x - y) for x, y in zip(a, b)), default=0.0) / largest)
    dot, aa, bb = sum(x * y for x, y in zip(a, b)), sum(x * x for x in a), sum(y * y for y in b)
    cosine = min(cosine, dot / math.sqrt(aa * bb) if aa and bb else 0.0)
print(f"{worst:.2e} {cosine:.6f}")
PY
cat >states.py <<'PY'
"""states.py EXPECTED FOUND: the share of equal 3Di states, the worst difference of a mean probability."""
import json, sys
expected, found = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
if len(expected) != len(found) or not expected:
    sys.exit(f"{len(found)} records for {len(expected)}")
pairs = [(a["three_di"], b["three_di"]) for a, b in zip(expected, found)]
if any(len(a) != len(b) for a, b in pairs):
    sys.exit("a record has another length")
letters = [a == b for one, other in pairs for a, b in zip(one, other)]
worst = max(abs(a["mean_probability"] - b["mean_probability"]) for a, b in zip(expected, found))
print(f"{sum(letters) / len(letters):.4f} {worst:.2e}")
PY
cat >golden.py <<'PY'
"""golden.py SESSILE FOLDER DEVICE DTYPE: a line `name|result|what was seen` for each model of tests/golden."""
import array, json, math, os, struct, subprocess, sys
sessile, folder, device, dtype = sys.argv[1:]
def tensors(path):
    file = open(path, "rb")
    header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    start = file.tell()
    def read(name):
        entry = header[name]
        first, last = entry["data_offsets"]
        file.seek(start + first)
        return array.array("f", file.read(last - first))
    return header, read
def flat(value):
    return [x for item in value for x in flat(item)] if isinstance(value, list) else [value]
def run(model, letters, *command):
    inputs = [(e["name"], e["sequence"]) for e in json.load(open(f"{model}/inputs.json")) if e.get("sequence")]
    inputs = [(name, text) for name, text in inputs if set(text) <= set(letters)]
    with open("golden.fasta", "w") as out:
        out.writelines(f">{name}\n{text}\n" for name, text in inputs)
    command = [sessile, *command, "--model", model, "--input", "golden.fasta", "--output", "golden.jsonl", "--no-journal"]
    done = subprocess.run([*command, "--force", "--devices", device, "--dtype", dtype], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise RuntimeError(next((line for line in lines if line.startswith("error")), lines[-1]))
    found = {r["id"]: r for r in map(json.loads, open("golden.jsonl"))}
    if len(found) != len(inputs):
        raise RuntimeError(f"{len(found)} records for {len(inputs)}")
    return found
def vectors(model, letters, outputs):
    found = run(model, letters, "embed", "--outputs", ",".join(outputs))
    header, read = tensors(f"{model}/expected.safetensors")
    worst, cosine, count = 0.0, 1.0, 0
    for name, record in found.items():
        for output, tensor in outputs.items():
            if f"{name}.{tensor}" not in header or record.get(output) is None:
                continue
            a, b = read(f"{name}.{tensor}"), flat(record[output])
            if len(a) != len(b):
                raise RuntimeError(f"{name}.{tensor}: {len(b)} values for {len(a)}")
            worst = max(worst, max(abs(x - y) for x, y in zip(a, b)) / (max(map(abs, a)) or 1.0))
            if tensor.startswith("mean"):
                cosine = min(cosine, sum(map(float.__mul__, a, b)) / math.sqrt(sum(x * x for x in a) * sum(x * x for x in b)))
            count += 1
    good = count > 8 and (worst <= 1e-4 if dtype == "f32" else cosine > 0.999)
    return good, f"{count} tensors, worst difference {worst:.1e}, worst cosine {cosine:.6f}"
def states(model, expected):
    found = run(model, "ACDEFGHIKLMNPQRSTVWY", "entropy", "encode3di")
    pairs = [(expected[name]["three_di"], record["three_di"]) for name, record in found.items() if name in expected]
    same = sum(a == b for x, y in pairs for a, b in zip(x, y)) / sum(len(x) for x, _ in pairs)
    good = len(pairs) > 4 and (all(x == y for x, y in pairs) if dtype == "f32" else same > 0.95)
    return good, f"{len(pairs)} strings, {100 * same:.2f} % of the states"
def texts(model):
    """Summaries under every setting of the reference, in f32, where tokens are exact."""
    articles = {e["name"]: e["text"] for e in json.load(open(f"{model}/inputs.json"))}
    expected = json.load(open(f"{model}/expected.json"))
    settings = {s: run["args"] for of in expected.values() for s, run in of.items() if isinstance(run, dict) and "args" in run}
    same = count = 0
    for setting, arguments in settings.items():
        names = [name for name, of in expected.items() if setting in of]
        with open("golden.articles.jsonl", "w") as out:
            out.writelines(json.dumps({"text": articles[name]}) + "\n" for name in names)
        flags = [f"--{key.replace('_', '-')}={str(value).lower()}" for key, value in arguments.items() if key != "do_sample"]
        command = [sessile, "summarize", "--model", model, "--input", "golden.articles.jsonl", "--output", "golden.summaries.jsonl"]
        command += ["--text-field", "text", "--long", "truncate", "--no-journal", "--force", "--devices", device, "--dtype", dtype, *flags]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
        rows = [json.loads(line) for line in open("golden.summaries.jsonl")]
        same += sum(row["summary"] == expected[name][setting]["text"] for name, row in zip(names, rows))
        count += len(names)
    return count > 20 and (same == count or dtype != "f32"), f"{same} of {count} summaries"
protein, dna = "ACDEFGHIKLMNPQRSTVWY", "ACGT"
esm = {"mean": "mean_residues", "mean_all": "mean_all_tokens", "cls": "cls", "logits": "logits", "contacts": "contacts"}
whole = lambda path: json.load(open(f"{folder}/{path}/expected.json"))
checks = {
    "esm2/tiny_a": lambda m: vectors(m, protein, esm),
    "esm2/tiny_b": lambda m: vectors(m, protein, esm),
    "dnabert_s/tiny_a": lambda m: vectors(m, dna, {"mean_all": "mean_all_tokens"}),
    "dnabert_s/tiny_b": lambda m: vectors(m, dna, {"mean_all": "mean_all_tokens"}),
    "prostt5/tiny": lambda m: states(m, whole("prostt5/tiny")["cnn"]),
    "modernbert/tc20": lambda m: states(m, whole("modernbert/tc20")["sequences"]),
    "bart/tiny": texts,
}
for name, check in checks.items():
    try:
        good, seen = check(os.path.join(folder, name))
    except Exception as error:
        good, seen = False, str(error)[:150]
    print(f"golden {name} in {dtype}|{'ok' if good else 'FAIL'}|{seen}")
PY
# judge STATUS DTYPE TEXT: what compare.py's answer means.
judge() { awk -v status="$1" -v dtype="$2" '{ seen = 1; good = !status && NF == 2 && (dtype == "f32" ? $1 + 0 <= 1e-4 : $2 + 0 > 0.999) } END { print (seen && good) ? "ok" : "FAIL" }' <<<"$3"; }
field() { python3 -c 'import json,sys; v=json.load(open(sys.argv[1])).get(sys.argv[2]); print(v if v is not None else "")' "$1" "$2" 2>/dev/null; }

# 1. What is there.
if run devices 60 "$sessile" devices; then
    cat devices.out
    if grep -A1 '^cuda:0:' devices.out | grep -q 'number formats'; then
        row "a GPU is found" ok "$(grep '^cuda:0:' devices.out | cut -c 9-100)"
    else
        row "a GPU is found" FAIL "$(grep -A2 '^cuda' devices.out | tr '\n' ' ')"
    fi
else
    row "sessile devices" FAIL "$(why devices)"
fi
ldd "$sessile" 2>/dev/null | grep -qiE 'cuda|cublas|nvidia' && row "no NVIDIA library is linked" FAIL "" || row "no NVIDIA library is linked" ok ""
gpus=$(grep -A1 '^cuda:[0-9]' devices.out | grep -c 'number formats' || true)

# 2. The answers: reference outputs, then models of real size against the processor in f32.
golden=${SESSILE_CHECK_GOLDEN:-$scripts/../tests/golden}
if [ -d "$golden" ]; then
    for dtype in f32 bf16 f16; do
        run "golden-$dtype" 60 python3 golden.py "$sessile" "$(realpath "$golden")" cuda:0 "$dtype"
        [ -s "golden-$dtype.out" ] || row "golden outputs in $dtype" FAIL "$(why "golden-$dtype")"
        while IFS='|' read -r name result seen; do row "$name" "$result" "$seen"; done <"golden-$dtype.out"
    done
else
    row "golden outputs" skip "no tests/golden beside this script (SESSILE_CHECK_GOLDEN)"
fi
for model in esm2_t6_8M dnabert_s modernprost_50M; do
    [ -d "$model" ] || run "make-$model" 60 "$sessile" models synthesize "$model" --output "$model" || { row "$model" skip "not made: $(why "make-$model")"; continue; }
    outputs=mean
    [ $model = esm2_t6_8M ] && outputs=mean,contacts
    [ $model = dnabert_s ] && { cp mixed.fasta protein.fasta; cp mixed_dna.fasta mixed.fasta; outputs=mean_all; }
    if embed "$model-cpu" "$model" "$outputs" --devices cpu --dtype f32; then
        for dtype in f32 bf16 f16; do
            name="$model-$dtype"
            if ! embed "$name" "$model" "$outputs" --devices cuda:0 --dtype $dtype; then
                row "$model in $dtype" FAIL "$(why "$name")"
                continue
            fi
            found=$(python3 compare.py "$model-cpu.jsonl" "$name.jsonl" 2>&1)
            row "$model in $dtype" "$(judge $? $dtype "$found")" "worst difference and cosine: $found"
        done
    else
        row "$model on the processor" FAIL "$(why "$model-cpu")"
    fi
    [ $model = dnabert_s ] && cp protein.fasta mixed.fasta
done

# Structure states. Random weights decide between states that are nearly as probable, so some letters
# differ in 16 bits; on the processor 98 % are the same in bf16.
states() { # NAME MODEL OPTIONS…
    local name=$1 model=$2
    shift 2
    run "$name" 60 "$sessile" entropy encode3di --model "$model" --input few.fasta --output "$name.jsonl" --force "$@"
}
for model in modernprost_50M prostt5; do
    [ -d "$model" ] || run "make-$model" 60 "$sessile" models synthesize "$model" --output "$model" || { rm -rf "./$model"; row "$model, states" skip "not made: $(why "make-$model")"; continue; }
    if ! states "$model-states-cpu" "$model" --devices cpu --dtype f32; then
        row "$model, states, on the processor" skip "$(why "$model-states-cpu")"
        continue
    fi
    for dtype in f32 bf16 f16; do
        name="$model-states-$dtype"
        if ! states "$name" "$model" --devices cuda:0 --dtype $dtype; then
            row "$model, states, in $dtype" FAIL "$(why "$name")"
            continue
        fi
        found=$(python3 states.py "$model-states-cpu.jsonl" "$name.jsonl" 2>&1)
        case $dtype in
            f32) good=$(awk '{print ($1 >= 0.998 && $2 <= 1e-4)}' <<<"$found") ;;
            *) good=$(awk '{print ($1 >= 0.95 && $2 <= 5e-3)}' <<<"$found") ;;
        esac
        row "$model, states, in $dtype" "$([ "$good" = 1 ] && echo ok || echo FAIL)" "equal states and worst difference: $found"
    done
done

# 3. Equal bytes: budgets, lanes, products by the library and by own kernels.
for dtype in bf16 f32; do
    for products in cublaslt own; do
        export SESSILE_CUDA_PRODUCTS=$products
        name="bytes-$dtype-$products"
        if embed "$name-1k" esm2_t6_8M mean --devices cuda:0 --dtype $dtype --token-budget 1024 --instances 1 &&
            embed "$name-64k" esm2_t6_8M mean --devices cuda:0 --dtype $dtype --token-budget 65536 --instances 2; then
            cmp -s "$name-1k.jsonl" "$name-64k.jsonl" && row "equal bytes, 1k and 64k, $dtype, $products" ok "" || row "equal bytes, 1k and 64k, $dtype, $products" FAIL "cmp differs"
        else
            row "equal bytes, $dtype, $products" FAIL "$(why "$name-1k") $(why "$name-64k")"
        fi
        unset SESSILE_CUDA_PRODUCTS
    done
done

python3 - <<'PY'
import random
random.seed(8)
with open("same.fasta", "w") as out:
    for index in range(12):
        out.write(f">s{index}\n{''.join(random.choice('LAGVSERTIDPKQNFYMHWC') for _ in range(200))}\n")
PY
cp mixed.fasta kept.fasta && cp same.fasta mixed.fasta
if embed graphs-on esm2_t6_8M mean --devices cuda:0 --dtype bf16 --token-budget 202 --instances 1 --log-level debug &&
    SESSILE_CUDA_GRAPHS=off embed graphs-off esm2_t6_8M mean --devices cuda:0 --dtype bf16 --token-budget 202 --instances 1; then
    if ! grep -q 'launches is a graph' graphs-on.err; then
        row "equal bytes, graphs and kernels" FAIL "nothing was recorded: $(grep -h warning graphs-on.err | head -1)"
    else
        cmp -s graphs-on.jsonl graphs-off.jsonl && row "equal bytes, graphs and kernels" ok "" || row "equal bytes, graphs and kernels" FAIL "cmp differs"
    fi
else
    row "equal bytes, graphs and kernels" FAIL "$(why graphs-on) $(why graphs-off)"
fi
cp kept.fasta mixed.fasta

# 4. The processor and GPUs in one pool.
if embed mixed-pool esm2_t6_8M mean,contacts --devices cpu,cuda:0 --dtype f32 --token-budget 1024; then
    found=$(python3 compare.py esm2_t6_8M-cpu.jsonl mixed-pool.jsonl 2>&1)
    row "processor and GPU in one pool, f32" "$(judge $? f32 "$found")" "$found"
else
    row "processor and GPU in one pool, f32" FAIL "$(why mixed-pool)"
fi

# 5. Memory: what can not fit is refused; beside a process that has nearly all, batches are smaller.
run refused 60 "$sessile" plan --model esm2_t6_8M --devices cuda:0 --memory-reserve 1TiB
status=$?
[ $status -ne 0 ] && grep -q 'MiB are needed' refused.err && row "what does not fit is refused" ok "$(why refused)" || row "what does not fit is refused" FAIL "exit $status"
free=$(python3 - <<'PY'
import re
text = open("devices.out").read().split("cuda:0:")[-1]
found = re.search(r"memory left: ([0-9.,]+) ?(\w+)", text)
units = {"GiB": 1024, "MiB": 1, "GB": 953.67, "MB": 0.954}
print(int(float(found.group(1).replace(",", "")) * units.get(found.group(2), 1)) if found else 0)
PY
)
if [ "${free:-0}" -gt 4096 ]; then
    # Lanes of a million tokens, about 8 GiB each, that leave 3 GiB to a second pool.
    lanes=$(((free - 3072) / 8192))
    "$sessile" bench --model esm2_t6_8M --devices cuda:0 --dtype bf16 --instances $((lanes > 0 ? lanes : 1)) --token-budget 1048576 --duration 20 --json >hog.out 2>hog.err &
    hog=$!
    sleep 8
    if ! kill -0 "$hog" 2>/dev/null; then
        row "beside a process with a large arena" FAIL "it has ended: $(why hog)"
    elif embed beside esm2_t6_8M mean --devices cuda:0 --dtype bf16; then
        cmp -s beside.jsonl bytes-bf16-cublaslt-64k.jsonl && row "beside a process with a large arena" ok "the same bytes" || row "beside a process with a large arena" FAIL "other bytes"
    else
        row "beside a process with a large arena" FAIL "$(why beside)"
    fi
    kill "$hog" 2>/dev/null
    wait "$hog" 2>/dev/null
else
    row "beside a process with a large arena" skip "${free:-0} MiB are free on cuda:0"
fi

# 6. How fast: one GPU, then all.
measure() { # NAME MODEL SET OPTIONS…
    local name=$1 model=$2 set=$3
    shift 3
    if run "$name" 70 "$sessile" bench --model "$model" --set "$set" --devices "${devices:-cuda:0}" --dtype bf16 --duration 6 --json --log-level debug "$@"; then
        python3 - "$name.out" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
peak, share = r["peak_flops"], r["fraction_of_peak"]
print(f"{r['tokens_per_second']:,.0f} tokens/s"
      + (f", {100 * share:.1f} % of {peak / 1e12:,.0f} TFLOP/s" if peak else "")
      + f", ready in {r['load_seconds']:.1f} s, {r['planned_bytes'] / 2**30:.1f} GiB, {r['lanes']} lanes, {r['kernel_family']}")
PY
    else
        why "$name"
        return 1
    fi
}
bench() { local text; text=$(measure "$@") && row "$1" ok "$text" || row "$1" FAIL "$text"; }
if [ -d esm2_t33_650M ] || run make-650M 120 "$sessile" models synthesize esm2_t33_650M --output esm2_t33_650M; then
    bench 650M-uniform-512 esm2_t33_650M uniform
    bench 650M-lognormal esm2_t33_650M lognormal
    bench 650M-orfs esm2_t33_650M orfs
    bench 650M-one-lane esm2_t33_650M uniform --instances 1
    SESSILE_CUDA_PRODUCTS=own bench 650M-own-products esm2_t33_650M uniform
    [ "$gpus" -gt 1 ] && devices=auto bench "650M-on-$gpus-GPUs" esm2_t33_650M uniform
    if grep -q 'own kernels take them' 650M-uniform-512.err; then
        row "650M: every product by cuBLASLt" FAIL "$(grep -h 'own kernels take them' 650M-uniform-512.err | sort -u | head -3 | tr '\n' ' ')"
    elif grep -q 'cuBLASLt algorithm' 650M-uniform-512.err; then
        row "650M: every product by cuBLASLt" ok "$(grep -c 'cuBLASLt algorithm' 650M-uniform-512.err) shapes (650M-uniform-512.err)"
    else
        row "650M: every product by cuBLASLt" FAIL "nothing was said of products"
    fi
    if embed bytes-650M-1k esm2_t33_650M mean --devices cuda:0 --dtype bf16 --token-budget 1024 --instances 1 &&
        embed bytes-650M-64k esm2_t33_650M mean --devices cuda:0 --dtype bf16 --token-budget 65536 --instances 2; then
        cmp -s bytes-650M-1k.jsonl bytes-650M-64k.jsonl && row "equal bytes, 1k and 64k, 650M in bf16" ok "" || row "equal bytes, 1k and 64k, 650M in bf16" FAIL "cmp differs"
    else
        row "equal bytes, 650M in bf16" FAIL "$(why bytes-650M-1k) $(why bytes-650M-64k)"
    fi
    one=$(field 650M-one-lane.out tokens_per_second)
    two=$(field 650M-uniform-512.out tokens_per_second)
    [ -n "$one" ] && [ -n "$two" ] && row "two lanes are not slower than one" "$(awk -v a="$one" -v b="$two" 'BEGIN{print (b >= 0.98 * a) ? "ok" : "FAIL"}')" "$two against $one tokens/s"
    share=$(field 650M-uniform-512.out fraction_of_peak)
    mixed=$(field 650M-lognormal.out fraction_of_peak)
    [ -n "$share" ] || row "650M: 45 % of the measured peak" FAIL "no peak was measured"
    [ -n "$share" ] && row "650M: 45 % of the measured peak" "$(awk -v a="$share" 'BEGIN{print (a >= 0.45) ? "ok" : "FAIL"}')" "$share"
    [ -n "$share" ] && [ -n "$mixed" ] && row "mixed lengths lose at most 10 %" "$(awk -v a="$share" -v b="$mixed" 'BEGIN{print (b >= 0.9 * a) ? "ok" : "FAIL"}')" "$mixed against $share of the peak"
else
    row "650M" skip "not made: $(why make-650M)"
fi
[ -d dnabert_s ] && bench dnabert-s-chunks dnabert_s chunks
[ -d prostt5 ] && bench prostt5-uniform-512 prostt5 uniform
# Passes over one sequence of 512 tokens: as graphs, and kernel by kernel.
bench 8M-small-passes esm2_t6_8M uniform --token-budget 512 --instances 1
SESSILE_CUDA_GRAPHS=off bench 8M-small-passes-by-kernel esm2_t6_8M uniform --token-budget 512 --instances 1
graphs=$(field 8M-small-passes.out tokens_per_second)
pieces=$(field 8M-small-passes-by-kernel.out tokens_per_second)
[ -n "$graphs" ] && [ -n "$pieces" ] && row "graphs are not slower than kernels" "$(awk -v a="$pieces" -v b="$graphs" 'BEGIN{print (b >= 0.98 * a) ? "ok" : "FAIL"}')" "$(awk -v a="$pieces" -v b="$graphs" 'BEGIN{printf "%.2f times", b / a}')"
if [ -n "${SESSILE_CHECK_LARGE:-}" ] && { [ -d esm2_t36_3B ] || run make-3B 150 "$sessile" models synthesize esm2_t36_3B --output esm2_t36_3B; }; then
    bench 3B-uniform-512 esm2_t36_3B uniform
fi

# 7. PyTorch in turn, where it is there.
if ! [ -f "$scripts/compare/compare.py" ] || ! python3 -c 'import torch, transformers; assert torch.cuda.is_available()' 2>/dev/null; then
    row "beside PyTorch" skip "no bench/compare beside this script, or no PyTorch with CUDA"
elif [ ! -d esm2_t33_650M ] || [ "$(left)" -lt 60 ]; then
    row "beside PyTorch" skip "no model or no time left"
else
    rm -f pytorch.jsonl
    run pytorch 120 python3 "$scripts/compare/compare.py" --sessile "$sessile" --devices cuda:0 --model esm2_t33_650M \
        --set uniform --set lognormal --set orfs --dtype bf16 --rounds 1 --seconds 5 --output pytorch.jsonl
    status=$?
    found=$(python3 - 2>/dev/null <<'PY'
import json
for line in open("pytorch.jsonl"):
    r = json.loads(line)
    least = 1.2 if r["set"] == "uniform" else 2.0
    print(f"beside PyTorch, {r['set']}, {r['attention']}|{'ok' if r['ratio'] >= least else 'FAIL'}|{r['ratio']:.2f} times (at least {least})")
PY
)
    [ -n "$found" ] && while IFS='|' read -r name result seen; do row "$name" "$result" "$seen"; done <<<"$found"
    case $status in
        0) ;;
        99 | 124) row "beside PyTorch, the rest" skip "no time left" ;;
        *) row "beside PyTorch" FAIL "$(why pytorch)" ;;
    esac
fi

printf '\n%-44s %-6s %s\n' "check" "" "seen"
printf '%.0s-' {1..100}
echo
for line in "${rows[@]}"; do IFS='|' read -r name result seen <<<"$line"; printf '%-44s %-6s %s\n' "$name" "$result" "$seen"; done
echo
echo "$((SECONDS - begun)) s; raw outputs: $folder; $(date -u +%F), $(uname -n), $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -1)"
exit "$failed"
