"""How many numbers a second a running service sends as JSON, base64, octets and Arrow, to 64 clients at once.

    sessile serve --model MODEL --port 8000
    python3 bench/load/formats.py --path /v1/embeddings --residues 8 --items 64 --seconds 5

Formats take turns, so that a machine that is busy with other things is busy for all. Answers are read
whole and not parsed: what is measured is the service.
"""

import argparse
import json
import socket
import threading
import time

FORMATS = {
    "json": ("application/json", "float"),
    "base64": ("application/json", "base64"),
    "octets f32": ("application/octet-stream", "float"),
    "octets f16": ("application/octet-stream;dtype=f16", "float"),
    "arrow": ("application/vnd.apache.arrow.stream", "float"),
}


def client(arguments, request, end, seen):
    stream = socket.create_connection((arguments.host, arguments.port))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    file = stream.makefile("rb")
    while time.monotonic() < end:
        stream.sendall(request)
        status, length = file.readline(), None
        while (line := file.readline().lower()) != b"\r\n":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = file.read(length)
        if b" 200 " not in status:
            raise SystemExit(body[:300])
        seen.append(length)


def turn(arguments, accept, encoding, seconds):
    text = ("MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ" * 100)[: arguments.residues]
    body = json.dumps({"input": [text] * arguments.items, "encoding_format": encoding}).encode()
    head = f"POST {arguments.path} HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\ncontent-length: {len(body)}\r\n\r\n"
    request, seen, begun = head.encode() + body, [], time.monotonic()
    threads = [
        threading.Thread(target=client, args=(arguments, request, begun + seconds, seen))
        for _ in range(arguments.clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(seen), sum(seen), time.monotonic() - begun


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--path", default="/v1/embeddings")
    parser.add_argument("--residues", type=int, default=8)
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    turn(arguments, "application/json", "float", 1)
    sums = {name: [0, 0, 0.0] for name in FORMATS}
    for _ in range(arguments.rounds):
        for name, (accept, encoding) in FORMATS.items():
            for place, value in enumerate(turn(arguments, accept, encoding, arguments.seconds)):
                sums[name][place] += value
    base = sums["json"][0] / sums["json"][2]
    print("| format | requests/s | MB/s | of JSON |\n|---|---|---|---|")
    for name, (requests, size, seconds) in sums.items():
        rate = requests / seconds
        print(f"| {name} | {rate:.1f} | {size / seconds / 1e6:.1f} | {rate / base:.2f} |")


main()
