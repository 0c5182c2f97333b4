"""Writes bart/tiny/settings.json: what transformers writes under each generation_config.json.

Run with transformers 5.24.0 and torch on a CPU:
python tests/golden/make/bart_settings.py tests/golden/bart/tiny
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from transformers import BartForConditionalGeneration

folder = Path(sys.argv[1])
numbers = json.loads((folder / "expected.json").read_text())
plain = {
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
    "max_length": 40,
    "min_length": 6,
}
beams = {"num_beams": 4, "length_penalty": 2.0, "no_repeat_ngram_size": 3, "early_stopping": True}
usual = [559, 471, 262, 358, 17, 224, 592]
runs = {
    "max_new_tokens": {**beams, "max_new_tokens": 7},
    "min_new_tokens": {"min_new_tokens": 20},
    "no_length": {"max_length": None},
    "bad_words": {**beams, "bad_words_ids": [[471], [17, 224], [224, 592], [2], [0, 559]]},
    "suppressed": {**beams, "suppress_tokens": usual},
    "begin_suppressed": {"begin_suppress_tokens": [559, 581, 592, 404, 503]},
    "begin_suppressed_unforced": {"begin_suppress_tokens": [0, 559], "forced_bos_token_id": None},
    "source_ngrams": {**beams, "encoder_no_repeat_ngram_size": 2},
    "source_single_tokens": {"encoder_no_repeat_ngram_size": 1},
    "source_penalty": {**beams, "encoder_repetition_penalty": 3.5},
    "source_penalty_below_one": {"encoder_repetition_penalty": 0.3, "repetition_penalty": 1.3},
    "bias": {**beams, "sequence_bias": [[[471], -9.0], [[17, 224], 4.5], [[405], 2.5]]},
    "decay": {**beams, "exponential_decay_length_penalty": [4, 1.6]},
    "renormalized": {**beams, "suppress_tokens": usual, "renormalize_logits": True},
    "valid_values": {**beams, "suppress_tokens": usual, "remove_invalid_values": True},
    "two_ends": {**beams, "eos_token_id": [2, 17], "forced_eos_token_id": [2, 17]},
    "no_forced_end": {**beams, "forced_eos_token_id": None, "max_length": 9},
}
answers = {}
for name, changes in runs.items():
    settings = {key: value for key, value in {**plain, **changes}.items() if value is not None}
    with tempfile.TemporaryDirectory() as place:
        for file in ["config.json", "model.safetensors"]:
            shutil.copy(folder / file, place)
        Path(place, "generation_config.json").write_text(json.dumps(settings))
        model = BartForConditionalGeneration.from_pretrained(place).eval()
    ids = {}
    for source in ["t20", "t60", "unicode"]:
        tokens = torch.tensor([numbers[source]["input_ids"]])
        with torch.no_grad():
            ids[source] = model.generate(tokens)[0].tolist()
    answers[name] = {"generation_config": settings, "ids": ids}
    print(name, ids, file=sys.stderr)
text = json.dumps(answers, indent=None, separators=(",", ":")).replace('},"', '},\n"')
(folder / "settings.json").write_text(text + "\n")
