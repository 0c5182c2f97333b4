"""Sessile beside its peers: the same weights, the same sequences, the same threads, in turn.

    python bench/compare/compare.py --model models/esm2_150M --set orfs --output bench/runs/today.jsonl

On a GPU (`--devices cuda:0`) both run there, PyTorch with SDPA, and with flash-attention where that is
installed. Every program runs one round after the other, several times over, so that a slow minute of the machine
meets all of them; the ratio is the median of the rounds' ratios. Only real tokens count, padding does
not. One JSON line per model, set and pair is appended to the output, with every round in it.
"""

import argparse
import datetime
import importlib.util
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import sequences

HERE = Path(__file__).parent


class Peer:
    """A program that stays loaded and answers a line with a line."""

    def __init__(self, script, arguments, threads, preload):
        environment = dict(os.environ, TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS=str(threads))
        if preload:
            environment["LD_PRELOAD"] = preload
        self.process = subprocess.Popen(
            [sys.executable, HERE / script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("VERBOSE") else None,
            text=True,
            env=environment,
        )
        self.start = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the peer stopped: {self.process.args} (VERBOSE=1 shows why)")
        return json.loads(line)

    def ask(self, **wanted):
        print(json.dumps(wanted), file=self.process.stdin, flush=True)
        return self.answer()

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def sessile_round(options, dtype, path):
    command = [options.sessile, "bench", "--model", options.model, "--set", path, "--dtype", dtype]
    command += ["--devices", options.devices]
    command += ["--threads", str(options.threads), "--duration", str(options.seconds), "--json"]
    if options.sessile_token_budget:
        command += ["--token-budget", str(options.sessile_token_budget)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def sessile_means(options, path, count):
    with tempfile.TemporaryDirectory() as folder:
        few, out = f"{folder}/few.fasta", f"{folder}/out.jsonl"
        with open(few, "w") as file:
            for index, sequence in enumerate(sequences.read(path)[:count]):
                file.write(f">{index}\n{sequence}\n")
        command = [options.sessile, "embed", "--model", options.model, "--input", few]
        command += ["--output", out, "--dtype", "f32", "--devices", options.devices]
        subprocess.run(command, check=True, capture_output=True)
        return [json.loads(line)["mean"] for line in open(out)]


def rate(round_):
    """Tokens per second of a round: of several windows the one in the middle, not the best."""
    return statistics.median(round_.get("rounds_tokens_per_second") or [round_["tokens_per_second"]])


def largest_difference(ours, theirs):
    """The largest difference of two lists of vectors, over the largest value."""
    largest = max(abs(value) for row in theirs for value in row)
    return max(abs(a - b) for x, y in zip(ours, theirs) for a, b in zip(x, y)) / largest


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sessile", default="target/release/sessile")
    parser.add_argument("--model", required=True, help="a directory in the layout of transformers")
    parser.add_argument("--set", dest="sets", action="append", help="uniform, lognormal or orfs")
    parser.add_argument("--dtype", dest="dtypes", action="append", help="f32 or bf16, of both programs")
    parser.add_argument("--peer", default="transformers", choices=["transformers", "esm-cpp"])
    parser.add_argument("--peer-dtype", help="when it differs: f32 beside our bf16, or int8")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=9.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--devices", default="cpu", help="cpu, or one GPU such as cuda:0, for both programs")
    parser.add_argument("--attention", help="of transformers: sdpa (and flash_attention_2 on a GPU that has it)")
    parser.add_argument("--token-budget", type=int, help="padded tokens of the peer's batch [4096; 32768 on a GPU]")
    parser.add_argument("--sessile-token-budget", type=int)
    parser.add_argument("--preload", help="for bf16 in PyTorch where CPUID hides AMX; see cpuid_leaves.c")
    parser.add_argument("--check", type=int, default=0, help="compare the vectors of that many sequences")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()

    on_gpu = options.devices != "cpu"
    if options.token_budget is None:
        options.token_budget = 32768 if on_gpu else 4096
    attentions = [options.attention or "sdpa"]
    if on_gpu and not options.attention and importlib.util.find_spec("flash_attn"):
        attentions.append("flash_attention_2")
    if options.peer != "transformers":
        if on_gpu:
            parser.error(f"{options.peer} runs on the processor")
        attentions = [None]

    script = {"transformers": "transformers_peer.py", "esm-cpp": "esm_cpp_peer.py"}[options.peer]
    for name in options.sets or ["uniform", "lognormal", "orfs"]:
        for dtype, attention in itertools.product(options.dtypes or ["f32", "bf16"], attentions):
            if dtype == "f32" and attention == "flash_attention_2":
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = f"{folder}/{name}.fasta"
                # A GPU takes thousands of short sequences at once.
                sequences.write(name, path, 4096 if on_gpu else 512)
                peer_dtype = options.peer_dtype or dtype
                arguments = ["--model", options.model, "--input", path, "--dtype", peer_dtype]
                arguments += ["--token-budget", str(options.token_budget)]
                arguments += ["--threads", str(options.threads)]
                if options.peer == "transformers":
                    arguments += ["--device", options.devices, "--attention", attention]
                peer = Peer(script, arguments, options.threads, options.preload if peer_dtype == "bf16" else None)
                ours, theirs = [], []
                for _ in range(options.rounds):
                    ours.append(sessile_round(options, dtype, path))
                    theirs.append(peer.ask(seconds=options.seconds))
                difference = None
                if options.check and options.peer == "transformers":
                    means = peer.ask(means=options.check)["means"]
                    difference = largest_difference(sessile_means(options, path, options.check), means)
                peer.stop()
            ratio = statistics.median(
                rate(a) / rate(b) for a, b in zip(ours, theirs)
            )
            row = {
                "date": datetime.date.today().isoformat(),
                "model": Path(options.model).name,
                "set": name,
                "dtype": dtype,
                "peer": options.peer,
                "peer_dtype": peer_dtype,
                "attention": attention,
                "devices": options.devices,
                "threads": options.threads,
                "ratio": ratio,
                "largest_difference": difference,
                "sessile": ours,
                "peer_start": peer.start,
                "peer_rounds": theirs,
                "python": platform.python_version(),
            }
            for round_ in row["sessile"]:
                round_["model"], round_["set"] = row["model"], name
            best = max(ours, key=lambda r: r["fraction_of_peak"] or 0)
            print(
                f"{row['model']:>6} {name:<9} {dtype} beside {options.peer} {peer_dtype} {attention or ''}: "
                f"{max(map(rate, ours)):>9.0f} / "
                f"{max(map(rate, theirs)):>9.0f} tokens/s, {ratio:.2f} times; "
                f"{best['fraction_of_peak'] or 0:.3f} of the peak"
                + (f"; vectors differ by {difference:.1e}" if difference is not None else ""),
                flush=True,
            )
            if options.output:
                with options.output.open("a") as out:
                    out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
