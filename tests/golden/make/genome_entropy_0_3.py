"""Records of genome_entropy 0.3.0 on inputs where its rules and Sessile's differ.

    pip install --no-deps genome-entropy==0.3.0 && pip install biopython==1.88 pygenetic_code==0.21.3 typer tqdm
    GET_ORFS_PATH=…/get_orfs python genome_entropy_0_3.py

get_orfs 1.1.0 is compiled from https://github.com/linsalrob/get_orfs. The structure model is left out: a stand-in
encoder answers `D` for every residue, and the fields `three_di*` are not compared.
"""

import gzip
import json
import logging
import warnings
from pathlib import Path

from genome_entropy.encode3di.types import ThreeDiRecord
from genome_entropy.pipeline import runner

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
FOLDER = Path(__file__).parent.parent / "genome_entropy"

RUNS = [
    # input, genetic code, --min-aa, entropies
    ("v0_3/gcn.fasta", 11, 30, True),
    ("v0_3/iupac.fasta", 11, 30, True),
    ("v0_3/iupac.fasta", 11, 10, False),
    ("v0_3/rna.fasta", 11, 30, True),
    ("v0_3/rna.fasta", 4, 5, True),
    ("v0_3/noorf.fasta", 11, 30, True),
    ("v0_3/noorf.fasta", 11, 30, False),
    ("v0_3/min_aa_edge.fasta", 11, 30, True),
    ("v0_3/min_aa_edge.fasta", 11, 29, True),
    ("v0_3/odd2.gbk", 11, 30, True),
    ("v0_3/odd2.gbk", 1, 12, True),
    ("pipeline/input_err_with_N.fasta", 11, 3, True),
    ("pipeline/input_err_iupac.fasta", 25, 3, True),
]


class StandIn:
    def __init__(self, model_name, device=None):
        pass

    def encode_proteins(self, proteins, **_):
        return [
            ThreeDiRecord(p, "D" * p.aa_length, "stand_in", "stand_in", "cpu") for p in proteins
        ]


runner.ModernProstThreeDiEncoder = StandIn
index = []
for name, table, min_aa, entropy in RUNS:
    path = FOLDER / name
    source = {"genbank_file" if path.suffix == ".gbk" else "input_fasta": path}
    out = f"{path.stem}.t{table}.m{min_aa}{'' if entropy else '.skip'}.json.gz"
    target = FOLDER / "v0_3" / out
    runner.run_pipeline(
        **source, table_id=table, min_aa_len=min_aa, compute_entropy=entropy, output_json=target
    )
    records = json.loads(gzip.decompress(target.read_bytes()))
    target.write_bytes(gzip.compress(json.dumps(records).encode(), mtime=0))
    index.append({"input": name, "table": table, "min_aa": min_aa, "entropy": entropy, "expected": out})
(FOLDER / "v0_3" / "index.json").write_text(json.dumps(index, indent=1) + "\n")
