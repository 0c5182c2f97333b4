"""A viral prediction that is killed ten times ends with the bytes of one that nobody disturbed.

    python bench/compare/viral_kills.py --sessile target/release/sessile --output bench/runs/today.json

20,000 chunks with the golden models; every round goes on with other lanes and another token budget and
is killed with SIGKILL once its journal has grown by a tenth. Needs nothing but Python.
"""

import argparse
import filecmp
import json
import random
import subprocess
import tempfile
import time
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"
FILES = ["prediction_results.txt", "prediction_results_highestscore.csv", "frames.tsv",
         "chunks.tsv", "contigs.tsv", "failed.tsv"]
VARIANTS = [["--instances", "1", "--threads", "1"], ["--instances", "2", "--token-budget", "512"],
            ["--threads", "2"], ["--instances", "1", "--threads", "2", "--token-budget", "8192"],
            ["--instances", "3", "--threads", "3", "--token-budget", "1000"]]


def genome(path, chunks, per_record=20):
    """Records of bases with few stops: about one open frame in a chunk."""
    source = random.Random(7)
    with open(path, "w") as out:
        for record in range(chunks // per_record):
            bases = "".join(source.choices("ACGCGACGTGCACGCG", k=per_record * 300 - 37))
            out.write(f">contig_{record}\n{bases}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessile", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        genome(folder / "in.fa", arguments.chunks)

        def command(output, extra):
            return [arguments.sessile, "viral", "predict", folder / "in.fa", "--chunk", "300",
                    "--dnabert", GOLDEN / "dnabert_s/tiny_a", "--esm", GOLDEN / "esm2/tiny_a",
                    "--classifier", GOLDEN / "virnucpro/mlp/model.pth", "--dtype", "f32",
                    "--output", folder / output, "--json-progress", *extra]

        begun = time.monotonic()
        subprocess.run(command("whole", []), check=True, capture_output=True)
        whole = time.monotonic() - begun
        begun = time.monotonic()
        subprocess.run(command("bare", ["--no-journal"]), check=True, capture_output=True)
        bare = time.monotonic() - begun
        frames = len((folder / "whole/frames.tsv").read_text().splitlines()) - 1
        journal = folder / "out.journal"
        # An entry is about as long as the frame's name and its scores.
        kills = []
        for number in range(arguments.kills):
            process = subprocess.Popen(command("out", VARIANTS[number % len(VARIANTS)]),
                                       stderr=subprocess.DEVNULL)
            before = journal.stat().st_size if journal.exists() else 0
            share = (number + 1) / (arguments.kills + 2)
            while process.poll() is None:
                size = journal.stat().st_size if journal.exists() else 0
                if size > before and size >= share * frames * 72:
                    process.kill()
                    break
                time.sleep(0.005)
            assert process.wait() == -9, "the run was over before it could be killed"
            kills.append({"journal_bytes": journal.stat().st_size,
                          "flags": VARIANTS[number % len(VARIANTS)]})
        begun = time.monotonic()
        subprocess.run(command("out", []), check=True, capture_output=True)
        last = time.monotonic() - begun
        equal, different, missing = filecmp.cmpfiles(folder / "whole", folder / "out", FILES,
                                                     shallow=False)
        left = sorted(path.name for path in (folder / "out").iterdir())
        report = {"chunks": arguments.chunks, "frames": frames, "kills": kills,
                  "seconds_undisturbed": whole, "seconds_without_journal": bare,
                  "seconds_after_last_kill": last, "equal": equal, "different": different,
                  "missing": missing, "files": left}
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")
        assert not different and not missing and left == sorted(FILES), report
        print(f"{len(kills)} kills, {len(equal)} files equal, {whole:.1f} s undisturbed")


if __name__ == "__main__":
    main()
