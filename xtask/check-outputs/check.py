"""Every format holds the same rows as the JSON Lines, read with the libraries people use."""

import json

import h5py
import numpy as np
import pandas as pd
from safetensors.numpy import load_file

with open("out.jsonl") as lines:
    rows = [json.loads(line) for line in lines]
table = pd.read_parquet("out.parquet")
tensors = load_file("out.safetensors")
arrays = np.load("out.npz")
vectors = np.load("out.npy", mmap_mode="r")
beside = pd.read_csv("out.npy.rows.tsv", sep="\t")
h5 = h5py.File("out.h5")

assert len(rows) == 302 == len(table) == len(vectors) == len(beside)
assert list(table.columns) == list(rows[0])
assert vectors.dtype == np.float32
assert list(beside["id"]) == [row["id"] for row in rows] == list(arrays["id"])


def same(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape and (a == b).all(), (a, b)


def piece(name, number):
    """One record's part of a ragged array."""
    offsets = arrays[name + "_offsets"]
    part = arrays[name][offsets[number] : offsets[number + 1]]
    shapes = name + "_shapes"
    return part.reshape(arrays[shapes][number]) if shapes in arrays else part


seen = {}
for number, row in enumerate(rows):
    seen[row["id"]] = seen.get(row["id"], 0) + 1
    key = row["id"] if seen[row["id"]] == 1 else f"{row['id']}#{seen[row['id']]}"
    dataset = key.replace("/", "%2F")

    mean = np.array(row["mean"], np.float32)
    for other in (
        table["mean"][number],
        tensors[f"mean/{key}"],
        arrays["mean"][number],
        vectors[number],
        h5["mean"][dataset][:],
    ):
        same(mean, other)
    for name in ("per_residue", "logits", "contacts"):
        value = np.array(row[name], np.float32)
        same(value, np.stack(table[name][number]))
        same(value, tensors[f"{name}/{key}"])
        same(value, piece(name, number))
        same(value, h5[name][dataset][:])
    likelihood = list(row["likelihood"].values())
    same(likelihood, list(table["likelihood"][number].values()))
    for other in (
        tensors[f"likelihood/{key}"],
        arrays["likelihood"][number],
        h5["likelihood"][dataset][:],
    ):
        same(likelihood, other)

    attributes = h5["mean"][dataset].attrs
    assert attributes["id"].decode() == row["id"]
    for name in ("length", "truncated"):
        same(row[name], attributes[name])
        same(row[name], table[name][number])
        same(row[name], tensors[f"{name}/{key}"])
        same(row[name], arrays[name][number])
        same(row[name], beside[name][number])

for name in ("mean", "per_residue", "logits", "contacts", "likelihood"):
    assert len(h5[name]) == 302
many = h5py.File("many.h5")["mean"]
assert list(many) == sorted(f"r{number}" for number in range(1, 9001))
assert all((many[f"r{number}"][:] == many["r1"][:]).all() for number in range(1, 9001))
assert "r9001" not in many and "" not in many
print("302 rows are the same in Parquet, HDF5, safetensors, npz, npy and JSON Lines")
