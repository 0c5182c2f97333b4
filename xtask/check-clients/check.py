"""Asks two running services, one that reads and one that writes, with the clients that people have.

Usage: check.py HOST:PORT HOST:PORT, with the stubs of sessile.proto on the path.
"""

import io
import json
import statistics
import sys
import time
import urllib.request

import grpc
import numpy as np
import openai
import pyarrow
import sessile_pb2 as pb
import sessile_pb2_grpc
import tritonclient.grpc as triton
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

KEY = "clients-key"
BEARER = (("authorization", f"Bearer {KEY}"),)
SEQUENCES = ["MKTAYIAKQRQISFVK", "ACDEFGHIKLMNPQRSTVWY", "MKV"]


def post(address, path, body, **headers):
    headers = {"authorization": f"Bearer {KEY}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers, answer.read()


def wait(address):
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://{address}/health/ready", timeout=5)
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{address} did not become ready within a minute")


def refused(call, code):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        return error
    sys.exit(f"{code} was expected")


def vectors(address):
    """The vectors of JSON, which all others must equal bit for bit."""
    _, body = post(address, "/v1/embeddings", {"input": SEQUENCES})
    return np.array([item["embedding"] for item in json.loads(body)["data"]], np.float32)


def check_openai(address):
    client = openai.OpenAI(base_url=f"http://{address}/v1", api_key=KEY, max_retries=0)
    names = [model.id for model in client.models.list()]
    answer = client.embeddings.create(model=names[0], input=SEQUENCES)
    found = np.array([item.embedding for item in answer.data], np.float32)
    assert np.array_equal(found, vectors(address))
    assert answer.usage.prompt_tokens == sum(len(s) + 2 for s in SEQUENCES)
    try:
        openai.OpenAI(base_url=f"http://{address}/v1", api_key="other").models.list()
        sys.exit("a key that is not known was taken")
    except openai.AuthenticationError:
        pass
    print(f"openai {openai.__version__}: models, embeddings, errors")


def check_numbers(address):
    expected = vectors(address)
    headers, body = post(address, "/v1/embeddings", {"input": SEQUENCES}, accept="application/octet-stream")
    shape = [int(side) for side in headers["x-sessile-shape"].split(",")]
    assert np.array_equal(np.frombuffer(body, "<f4").reshape(shape), expected)
    accept = "application/octet-stream;dtype=f16"
    headers, body = post(address, "/v1/embeddings", {"input": SEQUENCES}, accept=accept)
    assert np.array_equal(np.frombuffer(body, "<f2").reshape(shape), expected.astype(np.float16))
    accept = "application/vnd.apache.arrow.stream"
    _, body = post(address, "/v1/embeddings", {"input": [*SEQUENCES, "?"]}, accept=accept)
    table = pyarrow.ipc.open_stream(io.BytesIO(body)).read_all()
    column = table["embedding"].combine_chunks()
    assert np.array_equal(np.stack(column.to_pylist()[:3]).astype(np.float32), expected)
    assert column[3].as_py() is None and "not a residue" in table["error"][3].as_py()
    print(f"pyarrow {pyarrow.__version__}, numpy {np.__version__}: numbers as they are")


def check_grpc(reads, writes):
    expected = vectors(reads)
    with grpc.insecure_channel(reads) as channel:
        stub = sessile_pb2_grpc.SessileStub(channel)
        request = pb.EmbedRequest(sequences=SEQUENCES)
        for compression in (None, grpc.Compression.Gzip):
            answer = stub.Embed(request, metadata=BEARER, timeout=60, compression=compression)
            found = np.array([item.values for item in answer.items], np.float32)
            assert np.array_equal(found, expected)
        requests = (pb.EmbedRequest(sequences=[SEQUENCES[n % 3]]) for n in range(50))
        for n, answer in enumerate(stub.EmbedStream(requests, metadata=BEARER, timeout=60)):
            assert np.array_equal(np.float32(answer.items[0].values), expected[n % 3])
        assert n == 49
        scores = stub.Score(pb.ScoreRequest(sequences=SEQUENCES, mutants=True), metadata=BEARER)
        assert len(scores.items[0].mutants) == 20 * len(SEQUENCES[0])
        states = stub.States(pb.StatesRequest(sequences=SEQUENCES), metadata=BEARER)
        assert [len(item.three_di) for item in states.items] == [len(s) for s in SEQUENCES]
        refused(lambda: stub.Embed(request), grpc.StatusCode.UNAUTHENTICATED)
        empty = refused(lambda: stub.Embed(pb.EmbedRequest(), metadata=BEARER), grpc.StatusCode.INVALID_ARGUMENT)
        assert dict(empty.trailing_metadata())["sessile-error-type"] == "invalid_request_error"
        large = pb.EmbedRequest(sequences=["M" * (9 << 20)])
        refused(lambda: stub.Embed(large, metadata=BEARER), grpc.StatusCode.OUT_OF_RANGE)
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "sessile.v1.Sessile", "inference.GRPCInferenceService"):
            status = health.Check(health_pb2.HealthCheckRequest(service=name)).status
            assert status == health_pb2.HealthCheckResponse.SERVING, name
    with grpc.insecure_channel(writes) as channel:
        stub = sessile_pb2_grpc.SessileStub(channel)
        request = pb.SummarizeRequest(texts=["The tower is tall and it stands in the town."], max_length=12, min_length=2, num_beams=1)
        whole = stub.Summarize(request, metadata=BEARER).items[0]
        pieces = list(stub.SummarizeStream(request, metadata=BEARER))
        assert "".join(piece.text for piece in pieces) == whole.summary and len(pieces) > 2
        assert pieces[-1].whole.token_ids == whole.token_ids
    print(f"grpcio {grpc.__version__}: unary and streamed calls, errors, health")


def check_reflection(address):
    """What grpcurl does: asks which services and messages there are, and calls by what it is told."""
    with grpc.insecure_channel(address) as channel:
        # Speaks the first version of reflection, which every tool knows.
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        assert {"sessile.v1.Sessile", "inference.GRPCInferenceService", "grpc.health.v1.Health"} <= services
        pool = DescriptorPool(database)
        method = pool.FindServiceByName("sessile.v1.Sessile").FindMethodByName("Embed")
        assert method.input_type.full_name == "sessile.v1.EmbedRequest"
    print(f"reflection: {', '.join(sorted(services))}")


def check_triton(reads, writes):
    expected = vectors(reads)
    headers = {"authorization": f"Bearer {KEY}"}
    client = triton.InferenceServerClient(reads)
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("demo", headers=headers)
    metadata = client.get_model_metadata("demo", headers=headers)
    assert metadata.inputs[0].name == "sequences" and metadata.outputs[0].name == "mean"

    def texts(name, values):
        tensor = triton.InferInput(name, [len(values)], "BYTES")
        tensor.set_data_from_numpy(np.array([value.encode() for value in values], np.object_))
        return tensor

    wanted = [triton.InferRequestedOutput(name) for name in ("mean", "cls")]
    answer = client.infer("demo", [texts("sequences", SEQUENCES)], outputs=wanted, headers=headers)
    assert np.array_equal(answer.as_numpy("mean"), expected)
    assert answer.as_numpy("cls").shape == expected.shape
    logits = [triton.InferRequestedOutput("logits")]
    answer = client.infer("demo", [texts("sequences", SEQUENCES[:1])], outputs=logits, headers=headers)
    assert answer.as_numpy("logits").shape[0] == len(SEQUENCES[0]) + 2
    for name, message in (("other", "there is no model"), ("demo", "no input `texts`")):
        try:
            client.infer(name, [texts("texts", SEQUENCES)], headers=headers)
            sys.exit("what makes no sense was answered")
        except triton.InferenceServerException as error:
            assert message in error.message(), error
    client = triton.InferenceServerClient(writes)
    (model,) = [m["id"] for m in json.loads(get(writes, "/v1/models"))["data"]]
    answer = client.infer(model, [texts("texts", ["The tower is tall."])], headers=headers)
    assert answer.as_numpy("summary").shape == (1,)
    print("tritonclient: metadata, tensors in and out, errors")


def get(address, path):
    request = urllib.request.Request(f"http://{address}{path}", headers={"authorization": f"Bearer {KEY}"})
    return urllib.request.urlopen(request, timeout=60).read()


def added_time(address):
    """p50 of one sequence by gRPC and by JSON, in turn."""
    import http.client

    connection = http.client.HTTPConnection(address)
    body = json.dumps({"input": SEQUENCES[2]})
    times = {"grpc": [], "json": []}
    with grpc.insecure_channel(address) as channel:
        stub = sessile_pb2_grpc.SessileStub(channel)
        request = pb.EmbedRequest(sequences=SEQUENCES[2:])
        for _ in range(200):
            begun = time.perf_counter()
            stub.Embed(request, metadata=BEARER)
            times["grpc"].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            connection.request("POST", "/v1/embeddings", body, {"authorization": f"Bearer {KEY}"})
            connection.getresponse().read()
            times["json"].append(time.perf_counter() - begun)
    p50 = {name: statistics.median(values) * 1e3 for name, values in times.items()}
    print(f"p50 of one short sequence: grpc {p50['grpc']:.2f} ms, json {p50['json']:.2f} ms")


def main():
    reads, writes = sys.argv[1:]
    wait(reads)
    wait(writes)
    check_openai(reads)
    check_numbers(reads)
    check_grpc(reads, writes)
    check_reflection(reads)
    check_triton(reads, writes)
    added_time(reads)


main()
