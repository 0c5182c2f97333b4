"""Training the viral classifier: Sessile beside PyTorch, on the same features with the same settings.

    python bench/compare/viral_training.py --sessile target/release/sessile --output bench/runs/today.json

The layers and settings are those of VirNucPro's `train.py` (linear, batch norm, ReLU, dropout, linear;
SGD with momentum, a rate that falls by steps, early stopping) with a larger rate, for the synthetic set
is smaller. Both hold a tenth out to find their best epoch, each its own tenth, and are then compared on
10,000 samples that neither has seen.
What Sessile wrote is then loaded by PyTorch in all three forms and must score alike.

Needs torch, safetensors and scikit-learn.
"""

import argparse
import copy
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
from torch import nn

SETTINGS = {"hidden": 128, "batch": 32, "epochs": 40, "rate": 0.002, "momentum": 0.9,
            "rate-step": 10, "rate-factor": 0.85, "dropout": 0.5, "patience": 5, "held-out": 0.1}


UNSEEN = 10_000


class MLPClassifier(nn.Module):
    def __init__(self, width, hidden, classes):
        super().__init__()
        self.hidden_layer = nn.Linear(width, hidden)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.output_layer = nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(SETTINGS["dropout"])

    def forward(self, x):
        return self.output_layer(self.dropout(F.relu(self.bn1(self.hidden_layer(x)))))


def synthetic(folder, width, count, seed):
    """Two classes that a curved border parts, with noise: no network gets everything right."""
    random = numpy.random.default_rng(seed)
    x = random.standard_normal((count, width)).astype(numpy.float32)
    directions = random.standard_normal((width, 3)) / numpy.sqrt(width)
    hidden = x @ directions
    score = hidden[:, 0] + 0.8 * hidden[:, 1] * hidden[:, 2] + 0.25 * random.standard_normal(count)
    virus = score > 0
    names = []
    for part, chosen in (("train", slice(0, count - UNSEEN)), ("test", slice(count - UNSEEN, None))):
        for label in (1, 0):
            rows = x[chosen][virus[chosen] == bool(label)]
            name = folder / f"{part}_{label}.pt"
            ids = [f"s{label}_{row}_chunk_1F1" for row in range(len(rows))]
            torch.save({"ids": ids, "data": torch.from_numpy(rows), "labels": [label]}, name)
            names.append(name)
    return names[:2], names[2:]


def train_torch(files, seed):
    torch.manual_seed(seed)
    parts = [torch.load(file) for file in files]
    x = torch.cat([part["data"] for part in parts])
    y = torch.cat([torch.full((len(part["data"]),), part["labels"][0]) for part in parts])
    order = torch.randperm(len(x))
    held = int(len(x) * SETTINGS["held-out"])
    judged, trained = order[:held], order[held:]
    model = MLPClassifier(x.shape[1], SETTINGS["hidden"], 2)
    for layer in (model.hidden_layer, model.output_layer):
        nn.init.xavier_uniform_(layer.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=SETTINGS["rate"],
                                momentum=SETTINGS["momentum"])
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, SETTINGS["rate-step"],
                                                SETTINGS["rate-factor"])
    best, waited = None, 0
    for epoch in range(SETTINGS["epochs"]):
        model.train()
        for batch in trained[torch.randperm(len(trained))].split(SETTINGS["batch"]):
            if len(batch) < 2:
                continue
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            logits = model(x[judged])
            batches = zip(logits.split(SETTINGS["batch"]), y[judged].split(SETTINGS["batch"]))
            loss = numpy.mean([F.cross_entropy(a, b).item() for a, b in batches])
        if best is None or loss < best["loss"]:
            scores, called = logits.softmax(1)[:, 1].numpy(), logits.argmax(1).numpy()
            truth = y[judged].numpy()
            best = {"best_epoch": epoch + 1, "loss": float(loss),
                    "accuracy": float((called == truth).mean()),
                    "precision": float(precision_score(truth, called)),
                    "recall": float(recall_score(truth, called)),
                    "f1": float(f1_score(truth, called)),
                    "auc": float(roc_auc_score(truth, scores))}
            best_weights = copy.deepcopy(model.state_dict())
            waited = 0
        else:
            waited += 1
            if waited >= SETTINGS["patience"]:
                break
        scheduler.step()
    model.load_state_dict(best_weights)
    return best, model.eval()


def unseen_torch(model, files):
    with torch.no_grad():
        right = sum(int((model(torch.load(file)["data"]).argmax(1) == label).sum())
                    for label, file in zip((1, 0), files))
    return right / UNSEEN


def unseen_sessile(sessile, classifier, files, folder):
    right = 0
    for label, file in zip(("virus", "others"), files):
        results = folder / f"unseen_{label}"
        subprocess.run([sessile, "viral", "classify", "--features", file, "--classifier", classifier,
                        "--output", results, "--quiet", "--force"], check=True)
        rows = (results / "prediction_results.txt").read_text().splitlines()[1:]
        right += sum(row.split("\t")[1] == label for row in rows)
    return right / UNSEEN


def train_sessile(sessile, files, seed, output, width):
    command = [sessile, "viral", "train", "--virus", files[0], "--others", files[1], "--json",
               "--quiet", "--chunk", "300", "--nucleotide-size", str(width // 2), "--seed",
               str(seed), "--output", output, "--force"]
    for name, value in SETTINGS.items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def check_forms(sessile, files, folder, width):
    """Scores of what Sessile trained: by PyTorch from every form, beside Sessile's own."""
    data = torch.load(files[0])["data"]
    forms = {}
    for name in ("model.safetensors", "model.pt", "model.pth"):
        path = folder / name
        train_sessile(sessile, files, 3, path, width)
        if name.endswith(".pth"):
            # As the original's prediction.py loads it, with the class in __main__.
            model = torch.load(path, weights_only=False)
        else:
            weights = load_file(path) if name.endswith("tensors") else torch.load(path)
            model = MLPClassifier(width, SETTINGS["hidden"], 2)
            model.load_state_dict(weights)
        model.eval()
        with torch.no_grad():
            scores = F.softmax(model(data), dim=1)[:, 1].numpy()
        results = folder / f"results_{name}"
        subprocess.run([sessile, "viral", "classify", "--features", files[0], "--classifier", path,
                        "--output", results, "--quiet"], check=True)
        rows = (results / "prediction_results.txt").read_text().splitlines()[1:]
        own = numpy.array([float(row.split("\t")[3]) for row in rows])
        forms[name] = {"largest_difference": float(numpy.abs(own - scores).max())}
        assert forms[name]["largest_difference"] < 1e-5, forms
    return forms


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessile", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=240)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        files, unseen = synthetic(folder, arguments.width, arguments.samples + UNSEEN, seed=1)
        runs = []
        for seed in (1, 2, 3):
            begun = time.monotonic()
            ours = train_sessile(arguments.sessile, files, seed, folder / "model.pt",
                                 arguments.width)
            ours["seconds"] = time.monotonic() - begun
            ours["unseen_accuracy"] = unseen_sessile(arguments.sessile, folder / "model.pt", unseen,
                                                     folder)
            begun = time.monotonic()
            theirs, model = train_torch(files, seed)
            theirs["seconds"] = time.monotonic() - begun
            theirs["unseen_accuracy"] = unseen_torch(model, unseen)
            runs.append({"seed": seed, "sessile": ours, "torch": theirs})
            print(json.dumps(runs[-1]), file=sys.stderr)
        forms = check_forms(arguments.sessile, files, folder, arguments.width)
    mean = {name: float(numpy.mean([run[name]["unseen_accuracy"] for run in runs]))
            for name in ("sessile", "torch")}
    report = {"mean_unseen_accuracy": mean, "settings": SETTINGS, "samples": arguments.samples, "width": arguments.width,
              "threads": arguments.threads, "torch": torch.__version__,
              "machine": platform.machine(), "runs": runs, "forms_in_torch": forms}
    arguments.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
