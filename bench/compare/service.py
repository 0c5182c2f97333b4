"""Measures `sessile serve` beside the engine it stands before. Standard library only.

    service.py closed   MODEL [--dtype D]   64 clients and one, beside `sessile bench`
    service.py idle     MODEL [--dtype D]   one client, beside the engine alone
    service.py overload MODEL [--dtype D]   ten times what it can do, for a minute

Sends only to 127.0.0.1. Prints one JSON object. Needs release builds of `sessile` and of the example
`alone` of sessile-runtime below $CARGO_TARGET_DIR or target/.
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

BIN = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"
LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def short_orfs(count=256, seed=5):
    """Lengths of short open reading frames: 30 residues and an exponential tail of mean 40."""
    draw = random.Random(seed)
    return [
        "M" + "".join(draw.choices(LETTERS, k=29 + min(int(draw.expovariate(1 / 40)), 400)))
        for _ in range(count)
    ]


class Service:
    def __init__(self, model, dtype, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [BIN / "sessile", "serve", "--model", model, "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--dtype", dtype, "--log-level", "error"]
        self.log = open(Path(folder) / "service.log", "w")
        self.process = subprocess.Popen(command, stderr=self.log)
        self.url = f"http://127.0.0.1:{self.port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(self.url + "/health/ready", timeout=5)
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the service did not become ready")

    def resident_mib(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name, label=""):
        text = urllib.request.urlopen(self.url + "/metrics", timeout=10).read().decode()
        lines = [x for x in text.splitlines() if x.startswith((name + " ", name + "{")) and label in x]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def load(self, fasta, concurrency, seconds, rate=None):
        command = [BIN / "sessile", "bench-service", "--url", self.url, "--batch-sizes", "1"]
        command += ["--concurrency", str(concurrency), "--duration", str(seconds), "--input", fasta]
        if rate:
            command += ["--rate", str(rate)]
        done = subprocess.run(command, capture_output=True)
        # 3: some requests were refused, which an overload is there to see.
        if done.returncode not in (0, 3):
            raise RuntimeError(done.stderr.decode())
        return json.loads(done.stdout)["cells"][0]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def engine(model, dtype, fasta, seconds):
    command = [BIN / "sessile", "bench", "--model", model, "--dtype", dtype, "--set", fasta]
    command += ["--duration", str(seconds), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def alone(model, dtype, lines, seconds):
    command = [BIN / "examples" / "alone", model, lines, str(seconds), dtype]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def closed(options, fasta, _lines, folder):
    service = Service(options.model, options.dtype, folder)
    service.load(fasta, 64, 2)
    before = service.cpu_seconds()
    begun = time.monotonic()
    many = service.load(fasta, 64, options.seconds)
    busy = (service.cpu_seconds() - before) / (time.monotonic() - begun)
    one = service.load(fasta, 1, options.seconds / 2)
    tokens, batches = service.metric("sessile_batch_tokens_sum"), service.metric("sessile_batch_tokens_count")
    service.stop()
    bench = engine(options.model, options.dtype, fasta, options.seconds)
    return {
        "engine_tokens_per_second": bench["tokens_per_second"],
        "engine_kernels": bench["kernel_family"],
        "clients_64": many,
        "clients_64_of_engine": many["tokens_per_second"] / bench["tokens_per_second"],
        "service_cores_busy": busy,
        "mean_batch_tokens": tokens / batches,
        "clients_1": one,
    }


def idle(options, fasta, lines, folder):
    service = Service(options.model, options.dtype, folder)
    service.load(fasta, 1, 2)
    rounds = []
    for _ in range(3):
        one = service.load(fasta, 1, options.seconds / 3)
        own = alone(options.model, options.dtype, lines, options.seconds / 3)
        rounds.append({"service_p50_ms": one["latency"]["p50"] * 1e3, "engine_p50_ms": own["p50_ms"],
                       "more_ms": one["latency"]["p50"] * 1e3 - own["p50_ms"]})
    service.stop()
    return {"rounds": rounds}


def overload(options, fasta, _lines, folder):
    service = Service(options.model, options.dtype, folder)
    can = service.load(fasta, 64, 5)["requests_per_second"]
    memory, stop = [], threading.Event()

    def watch():
        while not stop.wait(1):
            memory.append(service.resident_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    cell = service.load(fasta, 1000, 60, rate=10 * can)
    stop.set()
    watcher.join()
    answered = service.metric("sessile_requests_total", 'status="200"')
    refused = service.metric("sessile_errors_total", "overloaded")
    after = service.load(fasta, 1, 2)
    code = service.stop()
    return {
        "requests_per_second_before": can,
        "rate": 10 * can,
        "cell": cell,
        "refused_by_metrics": refused,
        "answered_by_metrics": answered,
        "errors_other_than_429": {k: v for k, v in cell["errors"].items() if k != "429"},
        "memory_mib_first": memory[4],
        "memory_mib_last": memory[-1],
        "memory_mib_largest": max(memory),
        "one_client_afterwards_p50_ms": after["latency"]["p50"] * 1e3,
        "exit_code": code,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["closed", "idle", "overload"])
    parser.add_argument("model")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sequences = short_orfs()
        fasta, lines = Path(folder) / "orfs.fasta", Path(folder) / "orfs.txt"
        fasta.write_text("".join(f">orf{i}\n{s}\n" for i, s in enumerate(sequences)))
        lines.write_text("".join(s + "\n" for s in sequences))
        run = {"closed": closed, "idle": idle, "overload": overload}[options.what]
        result = {"what": options.what, "model": Path(options.model).name, "dtype": options.dtype}
        result["mean_residues"] = sum(map(len, sequences)) / len(sequences)
        result.update(run(options, str(fasta), str(lines), folder))
    json.dump(result, sys.stdout)
    print()


main()
