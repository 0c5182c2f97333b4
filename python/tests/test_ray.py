"""The embedder of Ray data sets, in a cluster of two nodes on this machine."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sessile

ray = pytest.importorskip("ray")
import pyarrow.parquet  # noqa: E402
import ray.data  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

import sessile.ray  # noqa: E402

SEQUENCES = [("MKTAYIAKQRQISFVKSHFSRQ" * 4)[: 1 + number * 7 % 80] for number in range(400)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("batch_format", ["pyarrow", "numpy"])
def test_vectors_do_not_depend_on_blocks(cluster: Cluster, batch_format: str) -> None:
    want = np.asarray(sessile.Model("demo", threads=1, dtype="f32").embed(SEQUENCES))
    for blocks, batch_size in ((1, 400), (7, 13)):
        rows = [{"place": n, "sequence": s} for n, s in enumerate(SEQUENCES)]
        embedded = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            sessile.ray.Embedder,
            fn_constructor_kwargs={"model": "demo", "threads": 1, "dtype": "f32"},
            batch_format=batch_format,
            batch_size=batch_size,
            concurrency=1,
        )
        found: list[dict[str, Any]] = sorted(embedded.take_all(), key=lambda row: row["place"])
        vectors = np.stack([np.asarray(row["embedding"], dtype=np.float32) for row in found])
        assert vectors.tobytes() == want.tobytes()


def test_a_node_is_lost(cluster: Cluster, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    for shard in range(12):
        lines = [f">{shard}_{n}\n{s * 6}\n" for n, s in enumerate(SEQUENCES[: 200 + shard])]
        (shards / f"shard{shard:02}.fasta").write_text("".join(lines))
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    out = tmp_path / "out"
    killed: list[int] = []

    def kill() -> None:
        # In mid-run: some files are there, some are not.
        while len(done := list(out.glob("*.parquet"))) < 2:
            time.sleep(0.05)
        killed.append(len(done))
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    settings = {"model": "demo", "threads": 1, "dtype": "f32"}
    files = sessile.ray.embed_folder(shards, out, concurrency=2, **settings)  # type: ignore[arg-type]
    killer.join()
    assert killed and killed[0] < 12, "the node was lost in mid-run"

    model = sessile.Model("demo", threads=1, dtype="f32")
    for shard, file in enumerate(files):
        table = pyarrow.parquet.read_table(file)
        want = model.embed(shards / f"shard{shard:02}.fasta")
        assert table["id"].to_pylist() == want.ids
        found = table["vector"].combine_chunks().flatten().to_numpy()
        assert found.tobytes() == np.asarray(want).tobytes()
    assert not list(out.glob("*.part"))

    # Resuming computes what is missing and nothing else.
    before = {file: file.stat().st_mtime_ns for file in files}
    files[3].unlink()
    sessile.ray.embed_folder(shards, out, concurrency=1, **settings)  # type: ignore[arg-type]
    assert files[3].exists()
    for file in files:
        assert file == files[3] or file.stat().st_mtime_ns == before[file]


def test_batches_that_cannot_be_embedded() -> None:
    embedder = sessile.ray.Embedder("demo", column="protein")
    with pytest.raises(sessile.UsageError, match="no column 'protein' in sequence"):
        embedder({"sequence": np.asarray(["MKV"])})
    with pytest.raises(sessile.UsageError, match="batch_format"):
        embedder([1, 2])
