"""Byte-pair tokenization beside the `tokenizers` library, on one core, ids compared.

    python bench/compare/tokenizers_peer.py --model DIR [--chunks 20000] [--length 500]

DIR holds a `tokenizer.json` (`sessile models synthesize dnabert_s --output DIR`). Needs the
`tokenizers` package and `cargo build --release -p sessile-models --example bpe`.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizers  # noqa: E402

ROUNDS = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--chunks", type=int, default=20000)
    parser.add_argument("--length", type=int, default=500)
    parser.add_argument("--binary", default="target/release/examples/bpe")
    arguments = parser.parse_args()
    chooser = random.Random(7)
    chunks = ["".join(chooser.choices("ACGT", k=arguments.length)) for _ in range(arguments.chunks)]
    # Some of what sequences have beside the four letters.
    for index in range(0, len(chunks), 50):
        chunk = chunks[index]
        chunks[index] = chunk[:40] + "NNN" + chunk[43:200] + "ryk" + chunk[203:]
    file = arguments.model / "tokenizer.json"
    peer = tokenizers.Tokenizer.from_file(str(file))
    # With offsets, as `encode` and transformers do it, and without.
    seconds = {}
    for name, encode in [("encode_batch", peer.encode_batch), ("encode_batch_fast", peer.encode_batch_fast)]:
        best = float("inf")
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            encodings = encode(chunks)
            best = min(best, time.perf_counter() - begun)
        seconds[name] = best
    expected = [encoding.ids for encoding in encodings]
    with tempfile.TemporaryDirectory() as folder:
        sequences = pathlib.Path(folder) / "sequences.txt"
        ids = pathlib.Path(folder) / "ids.txt"
        sequences.write_text("\n".join(chunks) + "\n")
        command = [arguments.binary, str(file), str(sequences), str(ids)]
        own = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        found = [[int(token) for token in line.split()] for line in ids.read_text().splitlines()]
    print(
        json.dumps(
            {
                "chunks": len(chunks),
                "bases_each": arguments.length,
                "equal_ids": sum(a == b for a, b in zip(expected, found)),
                "tokenizers": tokenizers.__version__,
                "sessile_microseconds_per_chunk": own["microseconds_per_sequence"],
                **{
                    name: {
                        "microseconds_per_chunk": round(best * 1e6 / len(chunks), 2),
                        "ratio": round(best / own["seconds"], 2),
                    }
                    for name, best in seconds.items()
                },
            }
        )
    )


if __name__ == "__main__":
    main()
