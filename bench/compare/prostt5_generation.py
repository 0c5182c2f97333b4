"""ProstT5 from residues to 3Di, three ways: transformers' `generate`, Sessile's decoder, Sessile's encoder
with the 3Di head. The same weights, the same proteins, the same threads, exact lengths, greedy search.

    sessile models synthesize prostt5_translator --output models/prostt5
    python bench/compare/prostt5_generation.py --model models/prostt5 --way transformers --output run.jsonl
    python bench/compare/prostt5_generation.py --model models/prostt5 --way generate --output run.jsonl
    python bench/compare/prostt5_generation.py --model models/prostt5 --way head --output run.jsonl

Loading is not counted. One JSON line per run is appended to the output.
"""

import argparse
import datetime
import json
import os
import platform
import random
import re
import subprocess
import tempfile
import time
from pathlib import Path

PREFIX, END, FIRST_RESIDUE = 149, 1, 3
RESIDUES = "ALGVSREDTIPKFQNYMHWC"


def proteins(count, length):
    """The same proteins everywhere."""
    draw = random.Random(7)
    return ["".join(draw.choice(RESIDUES) for _ in range(length)) for _ in range(count)]


def transformers_way(options, texts):
    """Seconds of one `generate` over all proteins, after a short one to warm up."""
    import torch
    from transformers import T5ForConditionalGeneration

    torch.set_num_threads(options.threads)
    dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[options.dtype]
    model = T5ForConditionalGeneration.from_pretrained(options.model, dtype=dtype).eval()
    ids = torch.tensor(
        [[PREFIX, *(FIRST_RESIDUE + RESIDUES.index(letter) for letter in text), END] for text in texts]
    )
    states = torch.arange(128, 148)
    allowed = lambda batch, written: states.tolist()

    def run(tokens, length):
        with torch.inference_mode():
            return model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                min_length=length,
                max_length=length,
                num_beams=1,
                do_sample=False,
                prefix_allowed_tokens_fn=allowed,
            )

    run(ids[:1, :8], 4)
    begun = time.perf_counter()
    written = run(ids, options.residues + 1)
    seconds = time.perf_counter() - begun
    assert written.shape == (len(texts), options.residues + 1), written.shape
    return seconds


def sessile_way(options, texts):
    """Seconds by the rate that the program gives for its run, without loading."""
    with tempfile.TemporaryDirectory() as folder:
        fasta, rows = Path(folder, "proteins.fasta"), Path(folder, "rows.jsonl")
        fasta.write_text("".join(f">{number}\n{text}\n" for number, text in enumerate(texts)))
        command = [options.sessile, "entropy", "encode3di", "--model", options.model]
        command += ["--input", fasta, "--output", rows, "--dtype", options.dtype]
        command += ["--threads", str(options.threads), "--method", options.way]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        lengths = [len(json.loads(line)["three_di"]) for line in rows.read_text().splitlines()]
        assert lengths == [options.residues] * len(texts), lengths
    said = re.search(r"([0-9,]+) residues/s", done.stderr)
    assert said, done.stderr
    return sum(lengths) / int(said[1].replace(",", ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--way", required=True, choices=["transformers", "generate", "head"])
    parser.add_argument("--proteins", type=int, default=8)
    parser.add_argument("--residues", type=int, default=100)
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--sessile", default="target/release/sessile")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    texts = proteins(options.proteins, options.residues)
    way = transformers_way if options.way == "transformers" else sessile_way
    seconds = way(options, texts)
    states = options.proteins * options.residues
    line = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "way": options.way,
        "dtype": options.dtype,
        "threads": options.threads,
        "proteins": options.proteins,
        "residues": options.residues,
        "seconds": round(seconds, 3),
        "states_per_second": round(states / seconds, 2),
    }
    with open(options.output, "a") as output:
        print(json.dumps(line), file=output)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
