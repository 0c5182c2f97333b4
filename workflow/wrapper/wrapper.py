"""Runs a job of Sessile for a rule: `params.command` with `params.options`, the rule's input and output.

Exit code 3 (done, but some records failed) finishes the rule; the failures stand in `OUTPUT.failures.jsonl`
and in the log. Every other code but 0 fails it. What was finished before a stop is kept: Sessile's
journal lies beside the output, under a name that Snakemake does not remove, and a retry goes on there.
"""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

source, target = str(snakemake.input[0]), Path(str(snakemake.output[0]))
# Snakemake removes the outputs of a job that failed; a hidden name keeps what was finished.
work = target.with_name("." + target.name)
failures = target.with_name(target.name + ".failures.jsonl")
options = [
    text
    for name, value in snakemake.params.options.items()
    if value not in (None, "")
    for text in (name, str(value))
]
is_genbank = Path(source.removesuffix(".gz")).suffix in {".gb", ".gbk", ".gbff", ".genbank"}
command = [
    *("sessile", *snakemake.params.command.split()),
    *("--genbank" if is_genbank else "--input", source),
    *("--output", str(work), "--failures", str(failures)),
    *("--threads", str(snakemake.threads)),
    *options,
]
target.parent.mkdir(parents=True, exist_ok=True)
with open(snakemake.log[0], "a") as log:
    print("$", shlex.join(command), file=log, flush=True)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    # A scheduler's signal goes on to Sessile, which keeps what it has.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: process.send_signal(number))
    code = process.wait()
if code not in (0, 3):
    tail = Path(snakemake.log[0]).read_text().splitlines()[-5:]
    print(*tail, sep="\n", file=sys.stderr)
    sys.exit(code)
os.replace(work, target)
