"""Breaks a running service in many ways, with clients that go on asking, and counts what became of each
request: lost (never answered right), doubled (answered twice), refused and asked again.

    python3 bench/load/chaos.py target/release/sessile [--seconds 6] [--output FILE.md]

Each case runs the program itself, on this machine, for a few seconds. Needs Python alone, and gcc for the
clock. Exits 1 when a request was lost or doubled, or the service did not come back.
"""

import argparse
import http.client
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CLIENTS = 12
PATIENCE = 60

# A clock of the machine that jumps when a file appears: by an hour, back or forth.
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, time);
    if (id == CLOCK_REALTIME && getenv("CHAOS_FORTH") && !access(getenv("CHAOS_FORTH"), F_OK)) time->tv_sec += 3600;
    if (id == CLOCK_REALTIME && getenv("CHAOS_BACK") && !access(getenv("CHAOS_BACK"), F_OK)) time->tv_sec -= 3600;
    return result;
}
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Service:
    """The program, started again whenever a case wants that."""

    def __init__(self, program, *flags, env=None, stderr=None, limit=None):
        self.port = free_port()
        command = [program, "serve", "--model", "demo", "--host", "127.0.0.1", "--port", str(self.port), *flags]
        self.command = ["bash", "-c", f'{limit}; exec "$@"', "chaos", *command] if limit else command
        self.env = {**os.environ, **(env or {})}
        self.stderr = stderr if stderr is not None else subprocess.DEVNULL
        self.ready_after = []
        self.start()

    def start(self):
        begun = time.monotonic()
        self.process = subprocess.Popen(self.command, env=self.env, stderr=self.stderr)
        while time.monotonic() - begun < PATIENCE:
            try:
                if ask(self.port, "GET", "/health/ready", timeout=2)[0] == 200:
                    self.ready_after.append(time.monotonic() - begun)
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise SystemExit("the service did not become ready")

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)


def ask(port, method, path, body=None, timeout=PATIENCE):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


class Clients:
    """Clients that ask for a sequence of their own each time, and ask again until they are answered."""

    def __init__(self, port):
        self.port, self.going = port, True
        self.answers, self.wrong, self.again, self.times = {}, 0, 0, []
        self.lock, self.asked = threading.Lock(), itertools.count()
        self.lost = []
        self.threads = [threading.Thread(target=self.run) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while self.going:
            number = next(self.asked)
            # The number, in letters of residues: the answer says which request it is of.
            text = "M" + "".join("ACDEFGHIKL"[int(digit)] for digit in str(number)) * 4
            begun = time.monotonic()
            while time.monotonic() - begun < PATIENCE:
                try:
                    status, body = ask(self.port, "POST", "/predict", json.dumps({"sequence": text}), timeout=20)
                except OSError:
                    status = None
                if status == 200:
                    found = json.loads(body)
                    with self.lock:
                        self.answers[number] = self.answers.get(number, 0) + 1
                        self.wrong += found["sequence"] != text or len(found["embedding"]) != found["embedding_dim"]
                        self.times.append(time.monotonic() - begun)
                    break
                with self.lock:
                    self.again += 1
                time.sleep(0.05)
            else:
                self.lost.append(number)

    def end(self):
        self.going = False
        for thread in self.threads:
            thread.join(2 * PATIENCE)
        return self


def during(service, seconds, every, harm):
    """Lets clients ask while harm is done every so many seconds; how often it was."""
    clients, times = Clients(service.port), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(every)
        harm()
        times += 1
    time.sleep(0.5)
    return clients.end(), times


def killed(program, seconds):
    service = Service(program)

    def harm():
        service.end(signal.SIGKILL)
        service.start()

    yield service, *during(service, seconds, 1.5, harm)


def stopped(program, seconds):
    service = Service(program)

    def harm():
        if service.end(signal.SIGTERM) != 0:
            raise SystemExit("an accepted request was not answered")
        service.start()

    yield service, *during(service, seconds, 1.5, harm)


def hung_up(program, seconds):
    service = Service(program)

    def harm():
        body = json.dumps({"input": ["MKTAYIAKQR" * 40] * 20, "method": "masked"}).encode()
        for _ in range(8):
            one = socket.create_connection(("127.0.0.1", service.port))
            one.sendall(b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            one.close()

    yield service, *during(service, seconds, 0.3, harm)


def slow(program, seconds):
    service = Service(program, "--send-timeout", "2", "--max-connections", "64", "--header-timeout", "2")
    held = []

    def harm():
        body = json.dumps({"input": ["MKTAYIAKQR" * 80] * 4}).encode()
        head = b"POST /v1/contacts HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        for sent in (head + body, head[:20], head + body[:5]):
            one = socket.create_connection(("127.0.0.1", service.port))
            one.sendall(sent)
            held.append(one)

    seen = during(service, seconds, 0.1, harm)
    # What they leave unread at the end would count as not answered.
    for one in held:
        one.close()
    yield service, *seen


def much_memory(program, seconds):
    service = Service(program, "--max-held-memory", "16MiB")
    texts = json.dumps({"input": ["MKTAYIAKQR" * 80] * 60})

    def one():
        try:
            ask(service.port, "POST", "/v1/logits", texts, timeout=10)
        except OSError:
            pass

    def harm():
        for thread in [threading.Thread(target=one) for _ in range(8)]:
            thread.start()

    yield service, *during(service, seconds, 0.5, harm)


def few_files(program, seconds):
    service = Service(program, limit="ulimit -n 64")
    held = []

    def harm():
        for _ in range(40):
            held.append(socket.create_connection(("127.0.0.1", service.port)))
        time.sleep(0.5)
        while held:
            held.pop().close()

    yield service, *during(service, seconds, 0.5, harm)


def full_disk(program, seconds):
    with open("/dev/full", "w") as full:
        service = Service(program, stderr=full)
        yield service, *during(service, seconds, 1, lambda: None)


def stalled_log(program, seconds):
    reads, writes = os.pipe()
    service = Service(program, "--log-level", "debug", stderr=writes)
    yield service, *during(service, seconds, 1, lambda: None)
    os.close(reads)
    os.close(writes)


def clock(program, seconds):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "clock.c").write_text(CLOCK)
        library = place / "clock.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, place / "clock.c", "-ldl"], check=True)
        forth, back = place / "forth", place / "back"
        env = {"LD_PRELOAD": str(library), "CHAOS_FORTH": str(forth), "CHAOS_BACK": str(back)}
        service = Service(program, env=env)
        turn = itertools.cycle([forth.touch, forth.unlink, back.touch, back.unlink])
        yield service, *during(service, seconds, 0.7, lambda: next(turn)())


def frozen(program, seconds):
    service = Service(program)

    def harm():
        service.process.send_signal(signal.SIGSTOP)
        time.sleep(0.7)
        service.process.send_signal(signal.SIGCONT)

    yield service, *during(service, seconds, 0.5, harm)


CASES = {
    "SIGKILL, started again": killed,
    "SIGTERM, started again": stopped,
    "clients hang up in the middle of large requests": hung_up,
    "clients that neither send nor take": slow,
    "more memory asked for than there may be": much_memory,
    "64 open files, 40 idle connections at once": few_files,
    "the disk of the log is full": full_disk,
    "nobody reads the log": stalled_log,
    "the clock jumps by an hour, forth and back": clock,
    "the process is frozen for 0.7 s": frozen,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows, is_well = [], True
    for name, case in CASES.items():
        for service, clients, times in case(arguments.program, arguments.seconds):
            again = service.end()
            doubled = sum(count - 1 for count in clients.answers.values())
            lost = len(clients.lost) + clients.wrong
            p99 = statistics.quantiles(clients.times, n=100)[98] if len(clients.times) > 2 else float("nan")
            rows.append(
                f"| {name} | {times} | {len(clients.answers)} | {clients.again} | {lost} | {doubled} "
                f"| {p99:.2f} s | {max(service.ready_after):.2f} s | {again} |"
            )
            print(rows[-1], flush=True)
            is_well &= lost == 0 and doubled == 0 and again == 0 and len(clients.answers) > 0
    head = (
        "| what was broken | times | requests answered | asked again | lost or wrong | doubled | p99 with all tries "
        "| longest time to ready | exit code at the end |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    if arguments.output:
        arguments.output.write_text(head + "\n".join(rows) + "\n")
    sys.exit(0 if is_well else 1)


main()
