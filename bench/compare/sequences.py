"""The sets of sequences: the same lengths as `sessile bench` has, written as FASTA for every program."""

import math
import random

RESIDUES = "LAGVSERTIDPKQNFYMHWC"


def lengths(name: str, count: int, generator: random.Random) -> list[int]:
    """Residues of each sequence."""
    if name == "uniform":
        return [510] * count
    if name == "lognormal":
        return [
            min(1022, max(1, int(math.exp(math.log(270) + 0.7 * generator.gauss(0, 1)))))
            for _ in range(count)
        ]
    if name == "orfs":
        return [min(1022, int(30 + generator.expovariate(1 / 40))) for _ in range(count)]
    raise SystemExit(f"unknown set {name}: uniform, lognormal or orfs")


def write(name: str, path: str, count: int = 512) -> None:
    generator = random.Random(f"sessile {name}")
    with open(path, "w") as out:
        for index, length in enumerate(lengths(name, count, generator)):
            out.write(f">{name}_{index}\n{''.join(generator.choices(RESIDUES, k=length))}\n")


def read(path: str) -> list[str]:
    sequences = []
    for line in open(path):
        if line.startswith(">"):
            sequences.append("")
        else:
            sequences[-1] += line.strip()
    return sequences
