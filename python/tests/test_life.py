"""Streams, threads, processes, signals: what a model lives through."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import sessile

SEQUENCES = [("MKTAYIAKQRQISFVKSHFSRQ" * 3)[: 1 + number % 60] for number in range(500)]


def test_streams_are_the_same_vectors(demo: sessile.Model) -> None:
    want = np.asarray(demo.embed(SEQUENCES)).tobytes()
    for batch_tokens in (1, 333, 10_000, 1 << 20):
        blocks = list(demo.iter_embed(iter(SEQUENCES), batch_tokens=batch_tokens))
        assert b"".join(np.asarray(block).tobytes() for block in blocks) == want
        assert [name for block in blocks for name in block.ids] == [str(n) for n in range(500)]


def test_streams_read_no_further_than_they_must(demo: sessile.Model) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "MKV"

    blocks = demo.iter_embed(endless(), batch_tokens=50)
    for _ in range(20):
        assert len(next(blocks)) == 10
    assert read <= (20 + 3) * 10 + 1
    blocks.close()  # type: ignore[attr-defined]


def test_streams_name_what_fails(demo: sessile.Model) -> None:
    with pytest.raises(sessile.RecordError, match="^2: "):
        list(demo.iter_embed(["MKV", "GASP", "MK7"], batch_tokens=8))


def test_threads_share_a_model(demo: sessile.Model) -> None:
    want = np.asarray(demo.embed(SEQUENCES)).tobytes()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: np.asarray(demo.embed(SEQUENCES)).tobytes(), range(16)))
    assert all(vectors == want for vectors in found)
    assert demo.info["model_loads"] == 1


def test_other_threads_run_meanwhile(demo: sessile.Model) -> None:
    ticks = 0
    stop = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    begun = time.monotonic()
    demo.embed(SEQUENCES * 4)
    took = time.monotonic() - begun
    stop.set()
    thread.join()
    # With the lock held there would be a handful, however long it took.
    assert ticks > took / 0.001 / 50


def test_a_fork_is_refused_and_the_child_ends(demo: sessile.Model) -> None:
    demo.embed(["MKV"])
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            demo.embed(["MKV"])
            said = "no error"
        except RuntimeError as error:
            said = str(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 4096).decode()
    _, status = os.waitpid(child, 0)
    assert "a fork of it" in said and 'get_context("spawn")' in said
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_forked_child_ends_by_itself() -> None:
    # Dropping the model must not wait for threads that the child does not have.
    code = (
        "import os, sessile\n"
        "model = sessile.Model('demo')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    del model\n"
        "    raise SystemExit(0)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "0", ran.stderr


def _in_another_process(model: sessile.Model) -> bytes:
    return np.asarray(model.embed(["MKV", "GASP"])).tobytes()


def test_spawned_processes_load_for_themselves(demo: sessile.Model) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_in_another_process, (demo,)) == _in_another_process(demo)


def test_joblib(demo: sessile.Model) -> None:
    joblib = pytest.importorskip("joblib")
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(_in_another_process)(demo) for _ in range(4))
    assert found == [_in_another_process(demo)] * 4


def test_dask(demo: sessile.Model) -> None:
    dask = pytest.importorskip("dask")
    bag = pytest.importorskip("dask.bag")
    with dask.config.set(scheduler="threads"):
        parts = bag.from_sequence(SEQUENCES, npartitions=4)
        blocks = parts.map_partitions(lambda part: [demo.embed(list(part)).vectors]).compute()
    assert np.concatenate(blocks).tobytes() == np.asarray(demo.embed(SEQUENCES)).tobytes()


@pytest.mark.parametrize("call", ["embed", "iter_embed", "mutational_scan"])
def test_ctrl_c(call: str) -> None:
    arguments = {
        "embed": "model.embed(sequences)",
        "iter_embed": "list(model.iter_embed(sequences))",
        "mutational_scan": "[model.mutational_scan('MKTAYIAKQR' * 100) for _ in range(1000)]",
    }[call]
    code = (
        "import sessile, sys\n"
        "model = sessile.Model('demo', threads=1)\n"
        "sequences = ['MKTAYIAKQR' * 100] * 200_000\n"
        "print('ready', flush=True)\n"
        f"try:\n    {arguments}\n"
        "except KeyboardInterrupt:\n    print('stopped', flush=True)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline().strip() == "ready"
    time.sleep(1.0)
    run.send_signal(signal.SIGINT)
    begun = time.monotonic()
    said, _ = run.communicate(timeout=60)
    assert said.strip() == "stopped"
    assert time.monotonic() - begun < 20


def test_asynchronous_programs(demo: sessile.Model) -> None:
    async def all_at_once() -> None:
        one, two, score = await asyncio.gather(
            demo.aembed(SEQUENCES), demo.aembed(["MKV"], pooling="cls"), demo.ascore("MKV")
        )
        assert np.asarray(one).tobytes() == np.asarray(demo.embed(SEQUENCES)).tobytes()
        assert two[0].tobytes() == demo.embed(["MKV"], pooling="cls")[0].tobytes()
        assert score.log_probabilities.shape == (3,)
        count = 0
        async for block in demo.aiter_embed(SEQUENCES, batch_tokens=1000):
            count += len(block)
        assert count == len(SEQUENCES)

    asyncio.run(all_at_once())


def test_cancelling_a_task_stops_the_call(demo: sessile.Model) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(demo.aembed(["MKTAYIAKQR" * 100] * 20_000))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    begun = time.monotonic()
    asyncio.run(cancelled())
    assert time.monotonic() - begun < 20


def test_progress_is_shown(demo: sessile.Model, capfd: pytest.CaptureFixture[str]) -> None:
    demo.embed(SEQUENCES, progress=True)
    assert "500" in capfd.readouterr().err


def test_the_package_starts_without_numpy() -> None:
    code = "import sessile, sys; print('numpy' in sys.modules, len(dir(sessile)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("False")


def test_memory_holds_results_once(tmp_path: Path) -> None:
    # 64 MB of vectors: with a copy the peak would be 64 MB higher.
    code = (
        "import resource, sessile\n"
        "model = sessile.Model('demo', threads=1, dtype='f32')\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "model.embed(['MKTAYIAKQR' * 100] * 40, per_residue=True)\n"
        "before = peak()\n"
        "found = model.embed(['MKTAYIAKQR' * 100] * 125, per_residue=True)\n"
        "print((peak() - before) / found.block.nbytes)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(ran.stdout) < 1.3
