"""What else a model says, and what needs none."""

from pathlib import Path

import numpy as np
import pytest

import sessile

SEQUENCE = "MKTAYIAKQRQISFVKSHFS"


def test_contacts_and_logits(demo: sessile.Model) -> None:
    contacts = demo.contacts(SEQUENCE)
    assert contacts.shape == (20, 20) and np.allclose(contacts, contacts.T)
    assert ((contacts >= 0) & (contacts <= 1)).all()
    assert demo.logits(SEQUENCE).shape == (22, 33)


def test_scores_are_log_softmax(demo: sessile.Model) -> None:
    score = demo.score(SEQUENCE)
    assert score.log_likelihood == pytest.approx(score.log_probabilities.astype(float).sum())
    assert score.pseudo_perplexity == pytest.approx(np.exp(-score.log_probabilities.mean()), 1e-5)
    logits = demo.logits(SEQUENCE).astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    unmasked = demo.score(SEQUENCE, method="unmasked")
    # The vocabulary of ESM-2: <cls> <pad> <eos> <unk>, then these letters.
    columns = [4 + "LAGVSERTIDPKQNFYMHWC".index(letter) for letter in SEQUENCE]
    want = [logs[place + 1, column] for place, column in enumerate(columns)]
    assert np.allclose(unmasked.log_probabilities, want, atol=1e-5)


def test_scans_agree_with_scores(demo: sessile.Model) -> None:
    scan = demo.mutational_scan(SEQUENCE)
    assert scan.shape == (20, 20)
    own = [sessile.Model.RESIDUES.index(letter) for letter in SEQUENCE]
    assert (scan[np.arange(20), own] == 0).all()
    # Two sequences that differ in one residue, scored at that residue with it hidden.
    at, other = 3, "W"
    mutant = SEQUENCE[:at] + other + SEQUENCE[at + 1 :]
    change = (
        demo.score(mutant).log_probabilities[at] - demo.score(SEQUENCE).log_probabilities[at]
    )
    assert scan[at, sessile.Model.RESIDUES.index(other)] == pytest.approx(change, abs=1e-4)
    assert demo.mutational_scan(SEQUENCE, method="unmasked").shape == (20, 20)
    with pytest.raises(sessile.RecordError):
        demo.mutational_scan("")


def test_states(golden: Path) -> None:
    model = golden / "prostt5" / "tiny"
    states = sessile.states({"a": SEQUENCE, "b": "GASP"}, model=model, dtype="f32")
    assert [found.id for found in states] == ["a", "b"]
    assert len(states[0].three_di) == 20 and states[0].probabilities.shape == (20,)
    with pytest.raises(sessile.ModelError, match="no head that scores 3Di"):
        sessile.states([SEQUENCE], model="demo")


def test_summaries(golden: Path) -> None:
    model = sessile.Model(golden / "bart" / "tiny", generation={"num_beams": 1, "min_length": 2, "max_length": 20})
    texts = ["The committee met in spring.", "The theatre was crowded."]
    summaries = sessile.summarize(texts, model=model)
    assert len(summaries) == 2 and all(isinstance(text, str) for text in summaries)
    assert model.summarize(texts[1:]) == summaries[1:]
    with pytest.raises(sessile.RecordError, match="article 1: the text is empty"):
        model.summarize(["Spring came.", " "])
    with pytest.raises(sessile.UsageError, match="writes texts"):
        model.embed(["MKV"])
    with pytest.raises(sessile.UsageError, match="unknown setting `beams`"):
        sessile.Model(golden / "bart" / "tiny", generation={"beams": 1})


def test_viruses(golden: Path, tmp_path: Path) -> None:
    folder = golden / "virnucpro"
    found = sessile.viral(
        folder / "input300.fa",
        tmp_path / "out",
        classifier=folder / "mlp" / "model.pth",
        dnabert=str(golden / "dnabert_s" / "tiny_a"),
        esm=str(golden / "esm2" / "tiny_a"),
        chunk=300,
        dtype="f32",
    )
    name = "prediction_results_highestscore.csv"
    want = (folder / "e2e300" / name).read_text()
    assert (found.output / name).read_text() == want
    assert len(found.to_pandas()) == found.contigs
    with pytest.raises(sessile.SessileError):
        sessile.viral(folder / "nothing.fa", tmp_path / "b", classifier=folder / "nothing")


def test_orfs_and_entropy() -> None:
    (first, *_) = sessile.orfs("ATGAAACCCTAAGG", min_length=4)
    assert first == (1, 1, 12, "MKP*", "ATGAAACCCTAA")
    assert sessile.entropy("AACC") == 1.0
    assert sessile.mutual_information("AACC", "GGTT") == 1.0
    with pytest.raises(ValueError):
        sessile.orfs("ATG", table=99)
    with pytest.raises(ValueError):
        sessile.mutual_information("A", "AC")


def test_fasta(fasta: Path) -> None:
    records = list(sessile.read_fasta(fasta))
    assert records[0] == ("one", "first", "MKTAYIAKQRQISFVKSHFSRQ")
    assert len(records) == 4
