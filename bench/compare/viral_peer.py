"""VirNucPro's two embedding stages in PyTorch, on the chunks and frames that `sessile viral` wrote.

    sessile viral chunk contigs.fa --chunk 500 ...; sessile viral identify ...      (see docs/viral.md)
    python bench/compare/viral_peer.py --dnabert DIR --esm DIR --chunks chunks.fa --frames frames.faa

The same weights, padded batches in the order of the file, mean vectors, as the original's stages compute them:
ESM-2 in transformers; DNABERT-S in PyTorch operations (its published code needs a network), with scaled dot
product attention and the ALiBi bias as a mask. Tokenizing, loading and writing are not counted. Prints a
JSON line. `--preload` of compare.py applies for bf16 on machines that hide AMX from PyTorch.
"""

import argparse
import json
import math
import pathlib
import time

import safetensors.torch
import tokenizers
import torch
import transformers
from torch.nn import functional

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--dnabert", type=pathlib.Path, required=True)
parser.add_argument("--esm", type=pathlib.Path, required=True)
parser.add_argument("--chunks", type=pathlib.Path, required=True)
parser.add_argument("--frames", type=pathlib.Path, required=True)
parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
parser.add_argument("--limit", type=int, default=60, help="sequences of each kind")
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()
torch.set_num_threads(options.threads)
dtype = torch.float32 if options.dtype == "f32" else torch.bfloat16


def sequences(path):
    records = path.read_text().split(">")[1:]
    return ["".join(record.split("\n")[1:]) for record in records][: options.limit]


class Dnabert:
    def __init__(self, directory):
        self.config = json.loads((directory / "config.json").read_text())
        weights = safetensors.torch.load_file(directory / "model.safetensors")
        self.weights = {name.removeprefix("bert."): tensor.to(dtype) for name, tensor in weights.items()}
        heads = self.config["num_attention_heads"]
        power = 2 ** math.floor(math.log2(heads))
        of = lambda count: [2 ** (-8 / count * (i + 1)) for i in range(count)]
        self.slopes = torch.tensor(of(power) + of(2 * power)[0::2][: heads - power])

    def dense(self, x, name):
        return functional.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def norm(self, x, name):
        size = (x.shape[-1],)
        epsilon = self.config.get("layer_norm_eps", 1e-12)
        return functional.layer_norm(x, size, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], epsilon)

    def __call__(self, ids, mask):
        heads = self.config["num_attention_heads"]
        rows, length = ids.shape
        words = self.weights["embeddings.word_embeddings.weight"][ids]
        x = self.norm(words + self.weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        at = torch.arange(length)
        bias = -(at[:, None] - at[None]).abs() * self.slopes[:, None, None]
        bias = bias[None] + torch.where(mask[:, None, None].bool(), 0.0, -1e4)
        bias = bias.to(dtype)
        for index in range(self.config["num_hidden_layers"]):
            layer = f"encoder.layer.{index}"
            q, k, v = (
                part.view(rows, length, heads, -1).transpose(1, 2)
                for part in self.dense(x, f"{layer}.attention.self.Wqkv").chunk(3, -1)
            )
            attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            attended = attended.transpose(1, 2).reshape(rows, length, -1)
            x = self.norm(self.dense(attended, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output.LayerNorm")
            gate, value = self.dense(x, f"{layer}.mlp.gated_layers").chunk(2, -1)
            inner = functional.gelu(gate) * value
            x = self.norm(self.dense(inner, f"{layer}.mlp.wo") + x, f"{layer}.mlp.layernorm")
        return x


def padded(batch, pad):
    longest = max(map(len, batch))
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in batch])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in batch])
    return ids, mask


def timed(rows, pad, forward):
    batches = [rows[i : i + options.batch] for i in range(0, len(rows), options.batch)]
    with torch.inference_mode():
        forward(*padded(batches[0], pad))
        start = time.perf_counter()
        for batch in batches:
            ids, mask = padded(batch, pad)
            states = forward(ids, mask)
            (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return time.perf_counter() - start


nucleotides = tokenizers.Tokenizer.from_file(str(options.dnabert / "tokenizer.json"))
rows = [nucleotides.encode(sequence).ids for sequence in sequences(options.chunks)]
dnabert = Dnabert(options.dnabert)
first = timed(rows, 0, dnabert)
residues = {letter: i for i, letter in enumerate("LAGVSERTIDPKQNFYMHWCXBUZO", start=4)}
proteins = [[0, *(residues.get(letter, 24) for letter in s), 2] for s in sequences(options.frames)]
esm = transformers.EsmModel.from_pretrained(options.esm, dtype=dtype, add_pooling_layer=False).eval()
second = timed(proteins, 1, lambda ids, mask: esm(input_ids=ids, attention_mask=mask).last_hidden_state)
tokens = [sum(map(len, rows)), sum(map(len, proteins))]
print(
    json.dumps(
        {
            "peer": f"torch {torch.__version__}, transformers {transformers.__version__}",
            "dtype": options.dtype,
            "threads": options.threads,
            "dnabert_sequences": len(rows),
            "dnabert_tokens_per_second": round(tokens[0] / first, 1),
            "dnabert_seconds": round(first, 2),
            "esm_sequences": len(proteins),
            "esm_tokens_per_second": round(tokens[1] / second, 1),
            "esm_seconds": round(second, 2),
        }
    )
)
