"""Checks alerts, dashboard and autoscalers.

check.py rules FILE                writes the groups of the PrometheusRule to FILE, for promtool
check.py queries SERVICE PROMETHEUS runs every query there is
"""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

DEPLOY = Path("deploy")
RULES = DEPLOY / "kubernetes/components/monitoring/prometheus-rule.yaml"
SCALED = DEPLOY / "kubernetes/components/keda/scaled-object.yaml"

# What there is only when something has gone wrong, or was given up.
MAY_BE_EMPTY = ("sessile_errors_total",)


def groups():
    return yaml.safe_load(RULES.read_text())["spec"]["groups"]


def ask(url, path, **query):
    text = urllib.parse.urlencode(query)
    try:
        with urllib.request.urlopen(f"{url}{path}?{text}", timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{query}: {error.read().decode()}")


def work(service):
    """Some requests, so that there is something to see."""
    headers = {"authorization": "Bearer check-key", "content-type": "application/json"}
    for n in range(30):
        body = json.dumps({"input": ["MKTAYIAKQR" * (1 + n % 5)]}).encode()
        request = urllib.request.Request(f"{service}/v1/embeddings", body, headers)
        urllib.request.urlopen(request, timeout=30).read()


def wait(url, path):
    for _ in range(300):
        try:
            urllib.request.urlopen(url + path, timeout=5)
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{url}{path} does not answer")


def queries():
    for panel in json.loads((DEPLOY / "monitoring/dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield f"dashboard, {panel['title']}", target["expr"], False
    for trigger in yaml.safe_load(SCALED.read_text())["spec"]["triggers"]:
        yield "KEDA", trigger["metadata"]["query"].replace('"sessile"', '"check"'), False
    for group in groups():
        for rule in group["rules"]:
            # Where all is well an alert has no result; what it looks at must be there all the same.
            yield rule["alert"], rule["expr"], True


def main():
    if sys.argv[1] == "rules":
        Path(sys.argv[2]).write_text(yaml.safe_dump({"groups": groups()}))
        return
    service, prometheus = sys.argv[2:]
    wait(service, "/health/ready")
    wait(prometheus, "/-/ready")
    for _ in range(5):
        work(service)
        time.sleep(1.5)
    names = set(ask(prometheus, "/api/v1/label/__name__/values")["data"])
    count = 0
    for place, query, is_alert in queries():
        query = query.replace("$namespace", ".*").replace("$__rate_interval", "30s")
        for name in set(word for word in query.replace("{", " ").replace("(", " ").replace("[", " ").split() if word.startswith(("sessile_", "process_"))):
            if name not in names:
                sys.exit(f"{place}: the service has no metric {name}")
        found = ask(prometheus, "/api/v1/query", query=query)["data"]["result"]
        if is_alert and found:
            sys.exit(f"{place} fires on a service that is well: {found}")
        if not (is_alert or found or any(name in query for name in MAY_BE_EMPTY)):
            sys.exit(f"{place}: no result: {query}")
        count += 1
    firing = ask(prometheus, "/api/v1/alerts")["data"]["alerts"]
    if firing:
        sys.exit(f"alerts of a service that is well: {firing}")
    print(f"{count} queries have results; no alert of a service that is well")


main()
