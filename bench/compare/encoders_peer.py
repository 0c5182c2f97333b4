"""ProstT5's and ModernProst's encoders in transformers: real tokens per second, padding not counted.

    python bench/compare/encoders_peer.py --model DIR --lengths uniform|orfs [--dtype f32|bf16]

Sequences have the lengths of `sessile bench --set uniform` (512 tokens) or `orfs` (30 residues and an
exponential tail of mean 40); batches are sorted by length, as a careful user makes them. Random ids: the
speed does not depend on them. Prints one JSON line. `--preload` of compare.py applies for bf16 on virtual
machines that hide AMX from PyTorch.
"""

import argparse
import json
import pathlib
import random
import time

import torch
import transformers

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--model", type=pathlib.Path, required=True)
parser.add_argument("--lengths", choices=["uniform", "orfs"], required=True)
parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
parser.add_argument("--token-budget", type=int, help="padded tokens of a batch [2048; 32768 on a GPU]")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", type=float, default=20.0)
parser.add_argument("--device", default="cpu", help="cpu, or cuda:0")
options = parser.parse_args()

on_gpu = options.device != "cpu"
if options.token_budget is None:
    options.token_budget = 32768 if on_gpu else 2048
torch.set_num_threads(options.threads)
config = json.loads((options.model / "config.json").read_text())
dtype = torch.float32 if options.dtype == "f32" else torch.bfloat16
if config["model_type"] == "t5":
    model = transformers.T5EncoderModel.from_pretrained(options.model, dtype=dtype)
else:
    model = transformers.ModernBertModel.from_pretrained(options.model, dtype=dtype)
model.to(options.device).eval()

chooser = random.Random(2)
if options.lengths == "uniform":
    lengths = [512] * (512 if on_gpu else 64)
else:
    lengths = sorted(int(30 + chooser.expovariate(1 / 40)) for _ in range(4096 if on_gpu else 512))
batches, batch = [], []
for length in lengths:
    if batch and (len(batch) + 1) * length > options.token_budget:
        batches.append(batch)
        batch = []
    batch.append(length)
batches.append(batch)
chooser.shuffle(batches)


def prepare(batch):
    mask = torch.zeros(len(batch), max(batch), dtype=torch.long)
    for row, length in enumerate(batch):
        mask[row, :length] = 1
    return torch.randint(5, config["vocab_size"] - 5, mask.shape), mask, sum(batch)


@torch.inference_mode()
def compute(ids, mask, count):
    hidden = model(input_ids=ids.to(options.device), attention_mask=mask.to(options.device))
    # Whoever asks wants a vector a sequence in the processor's memory.
    hidden.last_hidden_state.mean(1).float().cpu()
    return count


prepared = [prepare(batch) for batch in batches]
# On a GPU every shape is seen once, so that memory is there before the clock runs.
for ids, mask, count in sorted(prepared, key=lambda batch: -batch[0].numel()) if on_gpu else prepared[:1]:
    compute(ids, mask, count)
tokens, begun, index = 0, time.perf_counter(), 0
while time.perf_counter() - begun < options.seconds:
    tokens += compute(*prepared[index % len(prepared)])
    index += 1
seconds = time.perf_counter() - begun
print(
    json.dumps(
        {
            "peer": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "model": str(options.model),
            "lengths": options.lengths,
            "dtype": options.dtype,
            "device": options.device,
            "threads": options.threads,
            "tokens": tokens,
            "seconds": round(seconds, 2),
            "tokens_per_second": round(tokens / seconds, 1),
        }
    )
)
