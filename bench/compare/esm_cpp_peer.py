"""esm-cpp (https://pypi.org/project/esm-cpp/) over its packed batches of many lengths.

The same protocol as `transformers_peer.py`. `--dtype int8` is its default for large models: the
weights are quantised when it loads them. It computes logits, as it offers nothing shorter.
"""

import argparse
import json
import random
import resource
import sys
import time

import esm_cpp
import numpy

import sequences

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--input", required=True)
parser.add_argument("--dtype", choices=["f32", "int8"], required=True)
parser.add_argument("--token-budget", type=int, required=True)
parser.add_argument("--threads", type=int, required=True)
options = parser.parse_args()

began = time.perf_counter()
model = esm_cpp.Model.load_from_safetensors(f"{options.model}/model.safetensors")
if options.dtype == "int8":
    model.quantize_weights()
model.num_threads = options.threads
load_seconds = time.perf_counter() - began
tokenizer = esm_cpp.Tokenizer()

records = [
    numpy.array(tokenizer.encode(record), dtype=numpy.int32) for record in sequences.read(options.input)
]
batches, batch, tokens = [], [], 0
for record in sorted(records, key=len):
    if batch and tokens + len(record) > options.token_budget:
        batches.append(batch)
        batch, tokens = [], 0
    batch.append(record)
    tokens += len(record)
batches.append(batch)
random.Random(1).shuffle(batches)

model.forward_batch(batches[0])
print(json.dumps({"load_seconds": load_seconds, "isa": esm_cpp.current_isa()}), flush=True)
position = 0
for line in sys.stdin:
    wanted = json.loads(line)
    tokens, done, began = 0, 0, time.perf_counter()
    while time.perf_counter() - began < wanted["seconds"]:
        batch = batches[position % len(batches)]
        model.forward_batch(batch)
        tokens += sum(map(len, batch))
        done += 1
        position += 1
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps({"tokens_per_second": tokens / seconds, "batches": done, "peak_rss_bytes": peak}),
        flush=True,
    )
