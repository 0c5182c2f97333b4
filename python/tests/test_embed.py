"""Vectors: the command line's bytes, order, names, inputs, errors."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file

import sessile

SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ", "GASP", "MKTAYIAKQRQISFVKSHFSRQ", "W", "mkv*"]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "sessile"
    words = [str(program), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("pooling", ["mean", "mean_all", "cls"])
def test_the_bytes_are_those_of_the_command(fasta: Path, tmp_path: Path, pooling: str) -> None:
    out = tmp_path / "out.npy"
    ran = command(
        "embed", "--model", "demo", "--input", fasta, "--output", out, "--outputs", pooling
    )
    assert ran.returncode == 0, ran.stderr
    vectors = np.asarray(sessile.Model("demo").embed(fasta, pooling=pooling))  # type: ignore[call-overload]
    assert vectors.tobytes() == np.load(out).tobytes()


KNOWN = set("ACDEFGHIKLMNPQRSTVWYXBUZO.-")


def close(found: npt.NDArray[np.float32], want: npt.NDArray[np.float32]) -> None:
    """Within 1e-4 of the largest value: the project's bound for f32."""
    want = want.reshape(found.shape)
    assert np.abs(found - want).max() <= 1e-4 * np.abs(want).max()


def test_the_reference_implementation_agrees(golden: Path) -> None:
    # What transformers and fair-esm say: tests/golden/README.md.
    folder = golden / "esm2" / "tiny_a"
    expected = load_file(folder / "expected.safetensors")
    model = sessile.Model(folder, dtype="f32")
    checked: list[str] = []
    for case in json.loads((folder / "inputs.json").read_text()):
        name, sequence = case["name"], case["sequence"]
        # Other symbols are the unknown token there and fail here; long ones have a test of their own.
        if not set(sequence.replace("<mask>", "")) <= KNOWN or len(sequence) > model.max_tokens - 2:
            continue
        checked.append(name)
        close(model.embed([sequence])[0], expected[f"{name}.mean_residues"])
        close(model.embed([sequence], pooling="cls")[0], expected[f"{name}.cls"])
        close(model.embed([sequence], pooling="mean_all")[0], expected[f"{name}.mean_all_tokens"])
        if f"{name}.last_hidden_state" in expected:
            last = expected[f"{name}.last_hidden_state"].reshape(-1, model.dimension)
            close(model.embed([sequence], per_residue=True)[0], last[1:-1])
        if f"{name}.logits" in expected:
            close(model.logits(sequence), expected[f"{name}.logits"])
        if f"{name}.masked_marginal_logprob" in expected:
            masked = model.score(sequence).log_probabilities
            close(masked, expected[f"{name}.masked_marginal_logprob"])
        if f"{name}.hidden_states" in expected:
            close(model.contacts(sequence), expected[f"{name}.contacts"])
            states = expected[f"{name}.hidden_states"]
            states = states.reshape(model.layers + 1, -1, model.dimension)
            for layer, of_layer in enumerate(states):
                close(model.embed([sequence], layer=layer)[0], of_layer[1:-1].mean(axis=0))
    assert {"len1", "len100", "len257"} <= set(checked)


def test_order_and_duplicates_stay(demo: sessile.Model) -> None:
    embeddings = demo.embed(SEQUENCES)
    assert embeddings.shape == (5, 128)
    assert embeddings.ids == ["0", "1", "2", "3", "4"]
    assert (embeddings[0] == embeddings[2]).all()
    alone = np.stack([demo.embed([sequence])[0] for sequence in SEQUENCES])
    assert alone.tobytes() == np.asarray(embeddings).tobytes()


def test_inputs_of_every_kind_are_equal(demo: sessile.Model, fasta: Path) -> None:
    import pandas
    import polars
    import pyarrow

    records = [(record.id, record.sequence) for record in sessile.read_fasta(fasta)]
    want = np.asarray(demo.embed([sequence for _, sequence in records])).tobytes()
    frame = pandas.DataFrame(records, columns=["id", "sequence"]).set_index("id")
    for given in (
        str(fasta),
        fasta,
        records,
        iter(records),
        (sequence for _, sequence in records),
        frame["sequence"],
        polars.DataFrame(records, schema=["id", "s"], orient="row")["s"],
        pyarrow.array([sequence for _, sequence in records]),
        np.asarray([sequence for _, sequence in records]),
    ):
        assert np.asarray(demo.embed(given)).tobytes() == want, type(given)
    assert demo.embed(frame["sequence"]).ids == ["one", "two", "three", "two"]
    assert demo.embed({"a": "MKV"}).ids == ["a"]
    with pytest.raises(sessile.UsageError, match="data frame has several columns"):
        demo.embed(frame)


def test_residues_are_views_of_one_block(demo: sessile.Model) -> None:
    embeddings = demo.embed(SEQUENCES, per_residue=True)
    assert [len(vectors) for vectors in embeddings] == [22, 4, 22, 1, 3]
    assert all(np.shares_memory(vectors, embeddings.block) for vectors in embeddings)
    means = np.stack([vectors.mean(axis=0) for vectors in embeddings])
    assert np.allclose(means, np.asarray(demo.embed(SEQUENCES)), atol=1e-5)
    table = embeddings.to_arrow()
    assert np.allclose(np.asarray(table["vectors"][1].as_py()), embeddings[1])
    frame = embeddings.to_pandas()
    assert list(frame.index[22:26]) == [("1", residue) for residue in (1, 2, 3, 4)]
    assert np.shares_memory(frame.to_numpy(), embeddings.block)


def test_layers(demo: sessile.Model) -> None:
    last = demo.embed(SEQUENCES, layer=4)
    assert np.asarray(last).tobytes() == np.asarray(demo.embed(SEQUENCES)).tobytes()
    for pooling in ("mean", "mean_all", "cls"):
        third = np.asarray(demo.embed(SEQUENCES, layer=3, pooling=pooling))
        again = np.asarray(demo.embed(SEQUENCES, layer=-2, pooling=pooling))
        assert third.tobytes() == again.tobytes()
        assert not np.allclose(third, np.asarray(demo.embed(SEQUENCES, pooling=pooling)))
    residues = demo.embed(SEQUENCES, layer=3, per_residue=True)
    assert np.allclose(residues[0].mean(axis=0), demo.embed(SEQUENCES, layer=3)[0], atol=1e-5)
    with pytest.raises(sessile.UsageError, match="layers 0 to 4, not 5"):
        demo.embed(SEQUENCES, layer=5)


def test_results_share_memory(demo: sessile.Model) -> None:
    embeddings = demo.embed(SEQUENCES)
    assert np.shares_memory(np.asarray(embeddings), embeddings.vectors)
    assert np.shares_memory(np.from_dlpack(embeddings), embeddings.vectors)
    assert np.shares_memory(embeddings.to_pandas().to_numpy(), embeddings.vectors)
    flat = embeddings.to_arrow()["vector"].chunk(0).flatten().to_numpy(zero_copy_only=True)
    assert np.shares_memory(flat, embeddings.vectors)
    assert embeddings.vectors.flags.writeable
    assert np.asarray(embeddings, dtype=np.float64).dtype == np.float64


def test_what_fails_is_named(demo: sessile.Model) -> None:
    with pytest.raises(sessile.RecordError) as raised:
        demo.embed({"good": "MKV", "bad": "MK7"})
    error = raised.value
    assert (error.record, error.index) == ("bad", 1)
    assert str(error) == "bad: `7` at position 3 is not a residue that the model knows"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)

    skipped = demo.embed({"good": "MKV", "bad": "MK7", "empty": "", "last": "G"}, on_error="skip")
    assert skipped.ids == ["good", "last"] and skipped.shape == (2, 128)
    assert [failure.id for failure in skipped.failures] == ["bad", "empty"]
    assert skipped["last"].tobytes() == demo.embed(["G"])[0].tobytes()


def test_long_sequences(demo: sessile.Model) -> None:
    long = "MKTAYIAKQR" * 150
    with pytest.raises(sessile.RecordError, match="1500 residues are more than 1024; see `long`"):
        demo.embed([long])
    assert demo.embed([long, "MKV"], long="windows", per_residue=True)[0].shape == (1500, 128)
    cut = demo.embed([long], long="truncate")
    assert cut[0].tobytes() == demo.embed([long[:1024]])[0].tobytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"pooling": "median"}, "unknown pooling `median`"),
        ({"pooling": "per_residue"}, "per_residue=True"),
        ({"pooling": "cls", "per_residue": True}, "no effect"),
        ({"long": "guess"}, "unknown choice `guess`"),
        ({"on_error": "ignore"}, "unknown choice `ignore`"),
    ],
)
def test_settings_that_make_no_sense(
    demo: sessile.Model, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        demo.embed(["MKV"], **arguments)  # type: ignore[call-overload]


def test_errors_of_models_have_hints(tmp_path: Path) -> None:
    with pytest.raises(sessile.ModelError, match="hint: "):
        sessile.Model("nothing_of_the_sort")
    with pytest.raises(sessile.ModelError, match="no weights in this folder"):
        sessile.Model(tmp_path)
    with pytest.raises(ValueError, match="unknown number format"):
        sessile.Model("demo", dtype="f8")
    with pytest.raises(sessile.DeviceError):
        sessile.Model("demo", devices="cuda:7")
    with pytest.raises(OSError, match="no such file"):
        sessile.Model("demo").embed("MKTAYIAKQR")


def test_equal_models_are_one() -> None:
    one, other = sessile.Model("demo", threads=1), sessile.Model("demo", threads=1)
    assert one._native is other._native
    assert one.info["model_loads"] == 1
    again = pickle.loads(pickle.dumps(one))
    assert again._native is one._native
    assert sessile.Model("demo", threads=2)._native is not one._native


def test_the_version_is_one(fasta: Path) -> None:
    from importlib.metadata import version

    assert version("sessile") == sessile.__version__
    assert command("--version").stdout.strip() == f"sessile {sessile.__version__}"


def test_the_command_has_its_exit_codes(fasta: Path, tmp_path: Path) -> None:
    assert command("embed", "--nonsense").returncode == 2
    bad = tmp_path / "bad.fasta"
    bad.write_text(">a\nMK7\n>b\nMKV\n")
    out = tmp_path / "out.jsonl"
    ran = command("embed", "--model", "demo", "--input", bad, "--output", out)
    assert ran.returncode == 3
    assert command("completions", "bash").stdout.count("sessile") > 10
