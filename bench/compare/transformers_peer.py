"""transformers as a careful user runs it: sorted by length, batches by padded tokens, no gradients.

Answers one JSON line per line on stdin: `{"seconds": s}` computes batches, in a shuffled order, for
that long and tells how many real tokens that were; `{"means": n}` gives the mean vectors of the first
n sequences, so that the comparison can see that both programs computed the same.
"""

import argparse
import json
import random
import resource
import sys
import time

import torch
from transformers import AutoTokenizer, EsmModel, EsmTokenizer  # noqa: F401

import sequences

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--input", required=True)
parser.add_argument("--dtype", choices=["f32", "bf16"], required=True)
parser.add_argument("--token-budget", type=int, required=True)
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--device", default="cpu", help="cpu, or cuda:0")
parser.add_argument("--attention", default="sdpa", help="sdpa, eager or flash_attention_2")
options = parser.parse_args()

torch.set_num_threads(options.threads)
began = time.perf_counter()
tokenizer = EsmTokenizer.from_pretrained(options.model)
model = EsmModel.from_pretrained(
    options.model,
    dtype=torch.float32 if options.dtype == "f32" else torch.bfloat16,
    add_pooling_layer=False,
    attn_implementation=options.attention,
)
model = model.to(options.device).eval()
load_seconds = time.perf_counter() - began

records = sequences.read(options.input)
in_order = sorted(records, key=len)
batches, batch = [], []
for record in in_order:
    if batch and (len(batch) + 1) * (len(record) + 2) > options.token_budget:
        batches.append(batch)
        batch = []
    batch.append(record)
batches.append(batch)
random.Random(1).shuffle(batches)


def encode(batch):
    encoded = tokenizer(batch, return_tensors="pt", padding=True)
    return encoded, int(encoded["attention_mask"].sum())


@torch.inference_mode()
def means(encoded):
    encoded = {name: tensor.to(options.device) for name, tensor in encoded.items()}
    hidden = model(**encoded).last_hidden_state.float()
    mask = encoded["attention_mask"].clone()
    mask[:, 0] = 0
    mask[torch.arange(len(mask)), encoded["attention_mask"].sum(1) - 1] = 0
    # Whoever asks wants the vectors in the processor's memory.
    return ((hidden * mask[..., None]).sum(1) / mask.sum(1)[:, None]).cpu()


# Text becomes tokens before the clock runs: on a GPU that would be measured in place of the model.
encoded_batches = [encode(batch) for batch in batches]
# On a GPU every shape is seen once, the largest first, so that memory is there before the clock runs.
warm = encoded_batches[:3]
if options.device != "cpu":
    warm = sorted(encoded_batches, key=lambda batch: -batch[0]["input_ids"].numel())
for encoded, _ in warm:
    means(encoded)
start = {"load_seconds": load_seconds, "batches": len(batches), "attention": options.attention}
start["torch"] = torch.__version__
if options.device != "cpu":
    start["gpu"] = torch.cuda.get_device_name(options.device)
print(json.dumps(start), flush=True)
position = 0
for line in sys.stdin:
    wanted = json.loads(line)
    if "means" in wanted:
        rows = [means(encode([record])[0])[0].tolist() for record in records[: wanted["means"]]]
        print(json.dumps({"means": rows}), flush=True)
        continue
    tokens, done, began = 0, 0, time.perf_counter()
    while time.perf_counter() - began < wanted["seconds"]:
        encoded, count = encoded_batches[position % len(batches)]
        means(encoded)
        tokens += count
        done += 1
        position += 1
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    answer = {"tokens_per_second": tokens / seconds, "batches": done, "peak_rss_bytes": peak}
    if options.device != "cpu":
        answer["peak_gpu_bytes"] = torch.cuda.max_memory_reserved(options.device)
    print(json.dumps(answer), flush=True)
