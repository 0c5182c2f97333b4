#!/usr/bin/env python3
"""How long `sessile entropy` takes for random genomes on one core, and the memory it needs.

    bench/entropy.py --program target/release/sessile --output bench/runs/DATE-entropy.json

Genomes follow from their number, so that everybody measures the same. Standard library only; Linux.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BASES = bytes(b"ACGT"[byte % 4] for byte in range(256))


def write_genome(path, seed, length):
    """A record of `length` random bases, 70 a line."""
    import random

    sequence = random.Random(seed).randbytes(length).translate(BASES).decode()
    with open(path, "w") as out:
        out.write(f">random_{seed}\n")
        for start in range(0, length, 70):
            out.write(sequence[start : start + 70] + "\n")


def run(command, cpus):
    """Wall and CPU seconds and the largest memory of one command on these CPUs."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    if status != 0:
        sys.exit(f"{command} failed: {said}")
    return {
        "seconds": round(seconds, 4),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 4),
        "peak_mib": round(usage.ru_maxrss / 1024, 1),
        "said": said.strip(),
    }


def measure(name, command, cpus, times):
    runs = [run(command, cpus) for _ in range(times)]
    walls = [one["seconds"] for one in runs]
    return {
        "name": name,
        "command": " ".join(map(str, command)),
        "cpus": len(cpus),
        "seconds": walls,
        "median_seconds": statistics.median(walls),
        "cpu_seconds": [one["cpu_seconds"] for one in runs],
        "peak_mib": max(one["peak_mib"] for one in runs),
        "said": runs[-1]["said"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="target/release/sessile")
    parser.add_argument("--bases", type=int, default=5_000_000)
    parser.add_argument("--genomes", type=int, default=100)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--stages", nargs="+", default=["one", "many"], choices=["one", "many"])
    parser.add_argument("--note", default="", help="how the program was built, and what else ran")
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    program = arguments.program
    one_core = {min(os.sched_getaffinity(0))}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        genome = folder / "genome.fa"
        write_genome(genome, 1, arguments.bases)
        entropy = [program, "entropy"]
        if "one" in arguments.stages:
            for name, command in [
                # What genome_entropy's --min-aa 30 keeps: ORFs of more than 90 residues.
                (
                    "run, ORFs over 90 residues",
                    ["run", "--compat", "genome-entropy-0.1", "--min-aa", "30", "--output"],
                ),
                ("run, ORFs of 30 residues", ["run", "--min-aa", "30", "--output"]),
                (
                    "orf --format get-orfs, over 90 residues",
                    ["orf", "--format", "get-orfs", "--min-length", "90", "--output"],
                ),
                (
                    "orf --format get-orfs, over 30 residues",
                    ["orf", "--format", "get-orfs", "--min-length", "30", "--output"],
                ),
            ]:
                command = [*entropy, *command, folder / "out.json", "--force", "--input", genome]
                rows.append(measure(name, command, one_core, arguments.times))
        if "many" in arguments.stages:
            genomes = [folder / f"genome_{number}.fa" for number in range(arguments.genomes)]
            for number, path in enumerate(genomes):
                write_genome(path, number, arguments.bases)
            for count in sorted({1, 10, arguments.genomes}):
                command = [*entropy, "run", "--compat", "genome-entropy-0.1", "--force"]
                command += ["--output", folder / "out.json", "--input", *genomes[:count]]
                row = measure(f"run, {count} genomes, one core", command, one_core, 1)
                row["command"] = row["command"].split(" --input")[0] + f" --input ({count} files)"
                rows.append(row)
            (folder / "sheet.csv").write_text("".join(f"s{n},{p}\n" for n, p in enumerate(genomes)))
            command = [*entropy, "run", "--sample-sheet", folder / "sheet.csv", "--force"]
            command += ["--output", folder / "samples", "--compat", "genome-entropy-0.1"]
            everything = os.sched_getaffinity(0)
            rows.append(measure(f"run, {len(genomes)} samples, all cores", command, everything, 1))
    cpu = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), ""
    )
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.machine(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "version": subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip(),
        "note": arguments.note,
        "bases": arguments.bases,
        "runs": rows,
    }
    Path(arguments.output).write_text(json.dumps(result, indent=1) + "\n")
    for row in rows:
        print(f"{row['name']}: {row['median_seconds']} s, {row['peak_mib']} MiB")


if __name__ == "__main__":
    main()
