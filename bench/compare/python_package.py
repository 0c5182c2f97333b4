"""The Python package beside the command, beside transformers, over a million sequences, and in Ray.

Each mode prints one JSON line per result. Rounds alternate, so that a slow minute of a shared machine
meets both sides; CPU seconds are given beside wall-clock time, for machines that others use as well.

    python python_package.py overhead --model target/models/8M
    python python_package.py memory --model tests/golden/esm2/tiny_a
    python python_package.py transformers --model target/models/8M
    python python_package.py actors --model target/models/8M
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import sequences
import sessile

SETS = ["uniform", "lognormal", "orfs"]


def cpu(who: int = resource.RUSAGE_SELF) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def say(**result: object) -> None:
    print(json.dumps(result), flush=True)


def overhead(options: argparse.Namespace) -> None:
    """`embed` of 2,000 short sequences from Python and by the command, which counts its own time."""
    generator = random.Random(1)
    letters = ["".join(generator.choices(sequences.RESIDUES, k=generator.randint(20, 60))) for _ in range(2000)]
    model = sessile.Model(options.model, threads=options.threads, dtype=options.dtype)
    program = Path(sys.executable).with_name("sessile")
    walls, cpus = [], []
    with tempfile.TemporaryDirectory() as folder:
        files = {"all": letters, "one": letters[:1]}
        for name, records in files.items():
            lines = (f">{n}\n{record}\n" for n, record in enumerate(records))
            Path(folder, name + ".fasta").write_text("".join(lines))

        def command(name: str) -> tuple[float, float]:
            before = cpu(resource.RUSAGE_CHILDREN)
            arguments = ["embed", "--model", options.model, "--input", f"{folder}/{name}.fasta"]
            arguments += ["--output", f"{folder}/{name}.npy", "--force", "--json-progress"]
            arguments += ["--threads", str(options.threads), "--dtype", options.dtype, "--no-journal"]
            ran = subprocess.run([program, *arguments], stderr=subprocess.PIPE, text=True, check=True)
            summary = json.loads(ran.stderr.splitlines()[-1])
            return summary["seconds"], cpu(resource.RUSAGE_CHILDREN) - before

        model.embed(letters)
        command("all")
        for number in range(options.rounds):
            sides = {}
            for side in random.Random(number).sample(["python", "command"], 2):
                if side == "python":
                    began, before = time.perf_counter(), cpu()
                    vectors = model.embed(letters)
                    sides[side] = (time.perf_counter() - began, cpu() - before)
                else:
                    whole, start = command("all"), command("one")
                    # Starting and loading cost what one sequence costs.
                    sides[side] = (whole[0], whole[1] - start[1])
            walls.append(sides["python"][0] / sides["command"][0])
            cpus.append(sides["python"][1] / sides["command"][1])
            say(round=number, python=sides["python"], command=sides["command"])
        assert np.asarray(vectors).tobytes() == np.load(f"{folder}/all.npy").tobytes()
    say(
        mode="overhead",
        rounds=options.rounds,
        wall_ratio=statistics.median(walls),
        cpu_ratio=statistics.median(cpus),
    )


def memory(options: argparse.Namespace) -> None:
    """Peak memory while a million sequences pass through `iter_embed`."""
    model = sessile.Model(options.model, threads=options.threads, dtype=options.dtype)
    generator = random.Random(1)
    pieces = ["".join(generator.choices(sequences.RESIDUES, k=length)) for length in range(2, 12)]
    endless = (pieces[n % 10] for n in range(options.count))
    done, began, marks = 0, time.perf_counter(), []
    for block in model.iter_embed(endless, batch_tokens=100_000):
        done += len(block)
        while len(marks) < 10 and done >= (len(marks) + 1) * options.count // 10:
            marks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
    say(mode="memory", sequences=done, seconds=time.perf_counter() - began, peak_mib_by_tenths=marks)


def transformers(options: argparse.Namespace) -> None:
    """Tokens a second beside the script that a user would write, on three sets."""
    import torch
    from transformers import EsmModel, EsmTokenizer

    torch.set_num_threads(options.threads)
    tokenizer = EsmTokenizer.from_pretrained(options.model)
    peer = EsmModel.from_pretrained(options.model, add_pooling_layer=False, dtype=torch.float32).eval()
    model = sessile.Model(options.model, threads=options.threads, dtype="f32")

    @torch.inference_mode()
    def means(records: list[str], batch_size: int = 16) -> np.ndarray:
        rows = []
        for first in range(0, len(records), batch_size):
            batch = tokenizer(records[first : first + batch_size], return_tensors="pt", padding=True)
            hidden = peer(**batch).last_hidden_state
            for row, mask in zip(hidden, batch["attention_mask"]):
                rows.append(row[1 : int(mask.sum()) - 1].mean(0))
        return torch.stack(rows).numpy()

    for name in SETS:
        generator = random.Random(name)
        lengths = sequences.lengths(name, options.count, generator)
        records = ["".join(generator.choices(sequences.RESIDUES, k=length)) for length in lengths]
        tokens = sum(lengths) + 2 * len(records)
        walls, cpus, rates = [], [], []
        means(records[:2]), model.embed(records[:2])
        for _ in range(options.rounds):
            began, before = time.perf_counter(), cpu()
            theirs = means(records)
            middle, between = time.perf_counter(), cpu()
            ours = model.embed(records)
            end, after = time.perf_counter(), cpu()
            rates.append((tokens / (end - middle), tokens / (middle - began)))
            walls.append((middle - began) / (end - middle))
            cpus.append((between - before) / (after - between))
        assert np.abs(ours.vectors - theirs).max() <= 1e-4 * np.abs(theirs).max()
        say(
            mode="transformers",
            model=options.model,
            set=name,
            sequences=len(records),
            tokens=tokens,
            sessile_tokens_per_second=statistics.median(rate[0] for rate in rates),
            transformers_tokens_per_second=statistics.median(rate[1] for rate in rates),
            wall_ratio=statistics.median(walls),
            cpu_ratio=statistics.median(cpus),
        )


def actors(options: argparse.Namespace) -> None:
    """Two actors of one core beside one, in Ray Data."""
    import ray
    import ray.data

    import sessile.ray

    ray.init(num_cpus=os.cpu_count(), log_to_driver=False)
    generator = random.Random(1)
    lengths = sequences.lengths("orfs", options.count, generator)
    rows = [{"sequence": "".join(generator.choices(sequences.RESIDUES, k=n))} for n in lengths]
    took = {}
    for count in (1, 2, 1, 2):
        data = ray.data.from_items(rows, override_num_blocks=16).materialize()
        embedded = data.map_batches(
            sessile.ray.Embedder,
            fn_constructor_kwargs={"model": os.path.abspath(options.model), "threads": 1, "dtype": options.dtype},
            batch_size=len(rows) // 16,
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=1,
        )
        began = time.perf_counter()
        embedded.materialize()
        took.setdefault(count, []).append(time.perf_counter() - began)
    say(mode="actors", seconds=took, ratio=min(took[1]) / min(took[2]))


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("mode", choices=["overhead", "memory", "transformers", "actors"])
parser.add_argument("--model", required=True)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--dtype", default="f32")
parser.add_argument("--rounds", type=int, default=9)
parser.add_argument("--count", type=int, default=1_000_000)
chosen = parser.parse_args()
globals()[chosen.mode](chosen)
