"""What the tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import sessile

GOLDEN = Path(
    os.environ.get("SESSILE_GOLDEN", Path(__file__).parents[2] / "tests" / "golden")
)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The reference outputs of the project."""
    assert GOLDEN.is_dir(), f"{GOLDEN}: set SESSILE_GOLDEN to tests/golden of the repository"
    return GOLDEN


@pytest.fixture(scope="session")
def demo() -> sessile.Model:
    return sessile.Model("demo", dtype="f32")


@pytest.fixture
def fasta(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "proteins.fasta"
    path.write_text(
        ">one first\nMKTAYIAKQRQISFVKSHFSRQ\n>two\ngasp\n>three\nMKV*\n>two again\nMKTAYIAKQR\n"
    )
    yield path
