"""esm-cpp (https://pypi.org/project/esm-cpp/) over its packed batches of many lengths.

The same protocol as `transformers_peer.py`. `--dtype int8` is its default for large models: the
weights are quantised when it loads them. It computes logits, as it offers nothing shorter.
"""

import argparse
import json
import os
import random
import resource
import sys
import time

import esm_cpp
import numpy
from safetensors import safe_open
from safetensors.numpy import save_file

import sequences

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--input", required=True)
parser.add_argument("--dtype", choices=["f32", "int8"], required=True)
parser.add_argument("--token-budget", type=int, required=True)
parser.add_argument("--threads", type=int, required=True)
options = parser.parse_args()



def checkpoint(folder):
    """The weights, with the rotary frequencies that esm-cpp reads and newer checkpoints leave out."""
    path, copy = f"{folder}/model.safetensors", f"{folder}/esm-cpp.safetensors"
    with safe_open(path, "numpy") as file:
        names = list(file.keys())
        if any(name.endswith("inv_freq") for name in names):
            return path
        if not os.path.exists(copy):
            config = json.load(open(f"{folder}/config.json"))
            head = config["hidden_size"] // config["num_attention_heads"]
            frequencies = 1.0 / 10000 ** (numpy.arange(0, head, 2, dtype=numpy.float32) / head)
            tensors = {name: file.get_tensor(name) for name in names}
            for layer in range(config["num_hidden_layers"]):
                name = f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"
                tensors[name] = frequencies
            save_file(tensors, copy)
    return copy


path = checkpoint(options.model)
began = time.perf_counter()
model = esm_cpp.Model.load_from_safetensors(path)
if options.dtype == "int8":
    model.quantize_weights()
# It has as many threads as OMP_NUM_THREADS says.
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

model.forward_scheduled(batches[0])
print(json.dumps({"load_seconds": load_seconds, "isa": esm_cpp.current_isa()}), flush=True)
position = 0
for line in sys.stdin:
    wanted = json.loads(line)
    tokens, done, began = 0, 0, time.perf_counter()
    while time.perf_counter() - began < wanted["seconds"]:
        batch = batches[position % len(batches)]
        model.forward_scheduled(batch)
        tokens += sum(map(len, batch))
        done += 1
        position += 1
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps({"tokens_per_second": tokens / seconds, "batches": done, "peak_rss_bytes": peak}),
        flush=True,
    )
