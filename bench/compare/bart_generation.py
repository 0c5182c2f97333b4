"""BART in transformers: seconds of `generate` for sources of random tokens, all in one batch.

    python bench/compare/bart_generation.py --model DIR [--dtype f32|bf16] [--requests 8] [--source-tokens 400]

The settings are those of the model's generation_config.json, as in `sessile bench --generate`, beside which
it is meant to run. Prints one JSON line. `--preload` of compare.py applies for bf16 on virtual machines that
hide AMX from PyTorch.
"""

import argparse
import json
import pathlib
import time

import torch
import transformers

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--model", type=pathlib.Path, required=True)
parser.add_argument("--dtype", choices=["f32", "bf16"], default="bf16")
parser.add_argument("--requests", type=int, default=8)
parser.add_argument("--source-tokens", type=int, default=400)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()

torch.set_num_threads(options.threads)
torch.manual_seed(3)
dtype = torch.float32 if options.dtype == "f32" else torch.bfloat16
model = transformers.BartForConditionalGeneration.from_pretrained(options.model, dtype=dtype).eval()
size = model.config.vocab_size
ids = torch.randint(size // 20, size * 19 // 20, (options.requests, options.source_tokens))
with torch.inference_mode():
    model.generate(input_ids=ids[:1, :50], attention_mask=torch.ones(1, 50, dtype=torch.long), max_new_tokens=57)
    start = time.perf_counter()
    written = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids))
    seconds = time.perf_counter() - start
tokens = int((written != model.config.pad_token_id).sum()) - options.requests
print(
    json.dumps(
        {
            "peer": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "model": options.model.name,
            "dtype": options.dtype,
            "threads": options.threads,
            "requests": options.requests,
            "source_tokens": options.source_tokens,
            "new_tokens": tokens,
            "seconds": round(seconds, 2),
            "new_tokens_per_second": round(tokens / seconds, 1),
        }
    )
)
