"""A mixture of requests as users send them, for Locust: mostly single sequences, some batches, a few large
ones, and now and then a score.

    pip install locust==2.47.0
    locust --locustfile bench/load/locustfile.py --headless --host http://127.0.0.1:8000 \\
        --users 32 --spawn-rate 8 --run-time 60s --html report.html --csv report

Exits 1 when the thresholds below are not kept. API_KEY is sent where it is set.
"""

import logging
import os
import random

from locust import FastHttpUser, between, events, task

# Thresholds: the share of failed requests, and p95 of single sequences in milliseconds.
MOST_FAILED = float(os.environ.get("MOST_FAILED", "0"))
MOST_P95_MS = float(os.environ.get("MOST_P95_MS", "2000"))

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
rng = random.Random(1)


def sequence(most=120):
    """Lengths as of short open reading frames: many short ones."""
    length = min(most, 20 + int(rng.expovariate(1 / 40)))
    return "M" + "".join(rng.choices(LETTERS, k=length))


class Caller(FastHttpUser):
    wait_time = between(0.05, 0.2)

    def on_start(self):
        key = os.environ.get("API_KEY")
        self.headers = {"authorization": f"Bearer {key}"} if key else {}

    def ask(self, name, path, body, check):
        with self.client.post(path, json=body, headers=self.headers, name=name, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}: {answer.text[:200]}")
            elif not check(answer.json()):
                answer.failure("the answer is not that of the request")

    @task(60)
    def single(self):
        text = sequence()
        self.ask("single", "/predict", {"sequence": text}, lambda found: found["sequence"] == text)

    @task(20)
    def batch(self):
        texts = [sequence() for _ in range(8)]
        self.ask(
            "batch of 8",
            "/v1/embeddings",
            {"input": texts, "encoding_format": "base64"},
            lambda found: [item["index"] for item in found["data"]] == list(range(8)),
        )

    @task(4)
    def large(self):
        texts = [sequence() for _ in range(64)]
        body = {"input": texts, "priority": 2}
        self.ask("batch of 64", "/v1/embeddings", body, lambda found: len(found["data"]) == 64)

    @task(2)
    def score(self):
        text = sequence(40)
        self.ask(
            "score",
            "/v1/score",
            {"input": text},
            lambda found: len(found["data"][0]["log_probabilities"]) == len(text),
        )


@events.quitting.add_listener
def keep_thresholds(environment, **_):
    stats = environment.stats
    single = stats.get("single", "POST")
    p95 = single.get_response_time_percentile(0.95) or 0
    if stats.total.num_requests == 0:
        fault = "no request was answered"
    elif stats.total.fail_ratio > MOST_FAILED:
        fault = f"{stats.total.num_failures} of {stats.total.num_requests} requests failed"
    elif p95 > MOST_P95_MS:
        fault = f"p95 of single sequences is {p95:.0f} ms, more than {MOST_P95_MS:.0f}"
    else:
        return
    logging.error(fault)
    environment.process_exit_code = 1
