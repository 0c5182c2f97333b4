"""Boosted trees on ORFs: Sessile beside XGBoost, on the same files, split and settings.

    python bench/compare/entropy_classifier.py --sessile target/release/sessile --output bench/runs/today.json

Makes annotated genomes (random bases, genes with uneven codons, a third of the genes not annotated), labels
their ORFs by `sessile entropy run`, trains by `sessile entropy ml train --split files`, and trains XGBoost on
the same files. Both are judged by the files kept back. Then XGBoost predicts with our model file and we with its.

Needs numpy, scikit-learn and xgboost.
"""

import argparse
import gzip
import json
import platform
import random
import subprocess
import tempfile
from pathlib import Path

import numpy
import xgboost
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

FREQUENT = "GCT CGT AAC GAC GAA GGT ATC CTG AAA TTC TCT GTT".split()
STOPS = {"TAA", "TAG", "TGA"}
CODONS = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT" if a + b + c not in STOPS]
SETTINGS = {"rounds": 100, "depth": 6, "rate": 0.1}
FILES, GENES = 12, 150


def genome(chance, name):
    bases, features = [], []
    place = 0

    def add(text):
        nonlocal place
        bases.append(text)
        place += len(text)

    for _ in range(GENES):
        add("".join(chance.choices("ACGT", k=chance.randint(60, 400))))
        uneven = chance.random() * 0.5
        length = int(chance.lognormvariate(4.6, 0.6)) + 30
        codons = [
            chance.choice(FREQUENT) if chance.random() < uneven else chance.choice(CODONS)
            for _ in range(length)
        ]
        gene = "ATG" + "".join(codons) + "TAA"
        is_minus = chance.random() < 0.5
        first, last = place + 1, place + len(gene)
        if is_minus:
            gene = gene[::-1].translate(str.maketrans("ACGT", "TGCA"))
        add(gene)
        if chance.random() < 0.67:
            location = f"{first}..{last}"
            features.append(f"complement({location})" if is_minus else location)
    sequence = "".join(bases).lower()
    lines = [
        f"LOCUS       {name:<16} {len(sequence)} bp    DNA     linear   BCT 01-JAN-2026",
        f"ACCESSION   {name}",
        f"VERSION     {name}.1",
        "FEATURES             Location/Qualifiers",
        f"     source          1..{len(sequence)}",
    ]
    for location in features:
        lines += [f"     CDS             {location}", " " * 21 + "/codon_start=1"]
    lines.append("ORIGIN")
    for start in range(0, len(sequence), 60):
        line = sequence[start : start + 60]
        blocks = " ".join(line[at : at + 10] for at in range(0, len(line), 10))
        lines.append(f"{start + 1:>9} {blocks}")
    return "\n".join(lines) + "\n//\n"


def table(paths):
    rows, labels = [], []
    for path in paths:
        for record in json.load(gzip.open(path)):
            for orf in record["features"].values():
                entropy, place, said = orf["entropy"], orf["location"], orf["metadata"]
                rows.append(
                    [
                        entropy["dna_entropy"],
                        entropy["protein_entropy"],
                        numpy.nan,
                        orf["dna"]["length"],
                        orf["protein"]["length"],
                        numpy.nan,
                        place["start"],
                        place["end"],
                        place["strand"] == "+",
                        place["frame"],
                        said["has_start_codon"],
                        said["has_stop_codon"],
                    ]
                )
                labels.append(said["in_genbank"])
    return numpy.array(rows, dtype="f4"), numpy.array(labels, dtype=int)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessile", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    sessile = arguments.sessile.resolve()
    runs = []
    for seed in (1, 2, 3):
        with tempfile.TemporaryDirectory() as name:
            runs.append(compare(sessile, Path(name), seed))
            print(json.dumps(runs[-1], indent=1))
    result = {
        "settings": SETTINGS,
        "files": FILES,
        "xgboost": xgboost.__version__,
        "machine": platform.machine(),
        "runs": runs,
    }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")


def compare(sessile, folder, seed):
    def entropy(*words):
        command = [sessile, "entropy", *map(str, words), "--quiet"]
        subprocess.run(command, check=True, timeout=300, stdout=subprocess.DEVNULL)

    chance = random.Random(seed)
    (folder / "runs").mkdir()
    for number in range(FILES):
        genbank = folder / f"{number}.gbk"
        genbank.write_text(genome(chance, f"G{number}"))
        entropy("run", "--genbank", genbank, "--output", folder / f"runs/{number}.json.gz")
    options = [word for key, value in SETTINGS.items() for word in (f"--{key}", value)]
    ours, report = folder / "ours.ubj", folder / "report.json"
    entropy(
        "ml", "train", "--split-dir", folder / "runs", "--validation-split", 0, "--seed", seed,
        "--output", ours, "--report", report, *options,
    )
    report = json.loads(report.read_text())
    training = table(folder / "runs" / name for name in report["training_files"])
    test = table(folder / "runs" / name for name in report["test_files"])
    our_scores = numpy.array([row["probability_in_genbank"] for row in report["test_predictions"]], dtype="f4")
    theirs = xgboost.train(
        {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "max_depth": SETTINGS["depth"],
            "eta": SETTINGS["rate"],
        },
        xgboost.DMatrix(*training),
        SETTINGS["rounds"],
    )
    rows = xgboost.DMatrix(test[0])
    their_scores = theirs.predict(rows)
    loaded = xgboost.Booster(model_file=str(ours)).predict(rows)
    theirs.save_model(folder / "theirs.ubj")
    tables = []
    for name in report["test_files"]:
        out = folder / "predictions.tsv"
        entropy(
            "ml", "predict", "--input", folder / "runs" / name, "--model", folder / "theirs.ubj",
            "--output", out, "--force",
        )
        tables += [float(line.split("\t")[4]) for line in out.read_text().splitlines()[1:]]

    def metrics(scores):
        called = scores > 0.5
        return {
            "auc": roc_auc_score(test[1], scores),
            "accuracy": accuracy_score(test[1], called),
            "f1": f1_score(test[1], called),
        }

    return {
        "seed": seed,
        "training_orfs": len(training[1]),
        "test_orfs": len(test[1]),
        "test_in_genbank": int(test[1].sum()),
        "most_frequent_class": max(test[1].mean(), 1 - test[1].mean()),
        "sessile": metrics(our_scores),
        "sessile_report": report["test_metrics"],
        "xgboost": metrics(their_scores),
        "largest_difference_our_model_in_xgboost": float(abs(loaded - our_scores).max()),
        "largest_difference_their_model_here_six_digits": float(
            abs(their_scores - numpy.array(tables)).max()
        ),
    }


if __name__ == "__main__":
    main()
