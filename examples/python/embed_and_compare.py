"""The most similar pairs of proteins in a FASTA file, by the cosine of their mean vectors.

python embed_and_compare.py proteins.fasta [model]
"""

import sys
from itertools import combinations
from pathlib import Path

import numpy as np

import sessile


def most_similar(path: Path, name: str, pairs: int = 5) -> list[tuple[float, str, str]]:
    model = sessile.Model(name)
    embeddings = model.embed(path, on_error="skip")
    for failure in embeddings.failures:
        print(f"{failure.id}: {failure.reason}", file=sys.stderr)
    vectors = embeddings.vectors / np.linalg.norm(embeddings.vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    found = [
        (float(cosines[one, other]), embeddings.ids[one], embeddings.ids[other])
        for one, other in combinations(range(len(embeddings)), 2)
    ]
    return sorted(found, reverse=True)[:pairs]


if __name__ == "__main__":
    file = Path(sys.argv[1])
    for cosine, one, other in most_similar(file, sys.argv[2] if len(sys.argv) > 2 else "demo"):
        print(f"{cosine:.4f}  {one}  {other}")
