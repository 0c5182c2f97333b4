"""Makes tests/golden/matrix/VERSION: tiny models as this version of transformers saves them, in the forms that people
have, and what this version makes of each.

`xtask/check-matrix.sh make` runs it under every version. A folder NAME has the files as they were saved and
`expected.safetensors`: `NUMBER.ids`, `NUMBER.mean` (without special tokens) and, where there are some, `NUMBER.logits`
and `NUMBER.classes`.
"""

import json
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file

OUT = pathlib.Path(sys.argv[1]) / transformers.__version__
SIZES = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
# <cls> M K T A Y <mask> I <eos> and one residue, in ESM's vocabulary.
ESM_IDS = [[0, 20, 15, 11, 5, 19, 32, 12, 2], [0, 23, 2]]
BERT_IDS = [[2, 5, 6, 7, 4, 24, 3], [2, 20, 3]]
T5_IDS = [[149, 19, 17, 11, 3, 1], [149, 5, 1]]
LETTER_IDS = [[5, 6, 7, 24, 9], [11]]


def spread(model):
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() and name.endswith("weight"):
                parameter.normal_(1.0, 0.2)
            elif parameter.dim() == 1:
                parameter.normal_(0.0, 0.2)
            else:
                parameter.normal_(0.0, 0.6)
    return model.eval()


def case(name, model, ids, ends, dtype=torch.float32, files=None, **save):
    """Saves a model in one form and writes what it says. Half-precision weights are computed with in f32."""
    folder = OUT / name
    folder.mkdir(parents=True)
    spread(model).to(dtype)
    model.save_pretrained(folder, **save)
    # Weights alone are rounded: angles stay as a fresh model has them.
    weights = {key: value.float() for key, value in model.state_dict().items() if not key.endswith("inv_freq")}
    model = type(model)(model.config).eval()
    model.load_state_dict(weights, strict=False)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    base = getattr(model, model.base_model_prefix, model)
    base = getattr(base, "encoder", base) if model.config.model_type == "t5" else base
    expected = {}
    for number, tokens in enumerate(ids):
        tokens = torch.tensor([tokens])
        mask = torch.ones_like(tokens)
        with torch.no_grad():
            states = base(tokens, attention_mask=mask).last_hidden_state[0]
            expected[f"{number}.ids"] = tokens[0].float()
            expected[f"{number}.mean"] = states[ends[0] : len(states) - ends[1]].mean(0)
            if "Classification" in name:
                scores = model(tokens, attention_mask=mask).logits[0]
                scores = scores[ends[0] : len(scores) - ends[1]] if scores.dim() == 2 else scores
                expected[f"{number}.classes"] = scores
            elif "MaskedLM" in name:
                expected[f"{number}.logits"] = model(tokens, attention_mask=mask).logits[0]
    save_file({key: value.contiguous().clone() for key, value in expected.items()}, folder / "expected.safetensors")
    for file, text in (files or {}).items():
        (folder / file).write_text(text)


def esm(**more):
    return transformers.EsmConfig(
        vocab_size=33, mask_token_id=32, pad_token_id=1, position_embedding_type="rotary", token_dropout=True,
        max_position_embeddings=64, emb_layer_norm_before=False, **SIZES, **more,
    )


def make():
    ends = (1, 1)
    safe = dict(safe_serialization=True)
    # Newer versions write no pickles.
    old = dict(safe_serialization=False) if int(transformers.__version__[0]) < 5 else None
    masked = transformers.EsmForMaskedLM
    case("esm_MaskedLM", masked(esm()), ESM_IDS, ends, **safe)
    case("esm_MaskedLM_f16", masked(esm()), ESM_IDS, ends, torch.float16, **safe)
    case("esm_MaskedLM_bf16", masked(esm()), ESM_IDS, ends, torch.bfloat16, **safe)
    case("esm_MaskedLM_sharded", masked(esm()), ESM_IDS, ends, max_shard_size="6KB", **safe)
    case("esm_bare", transformers.EsmModel(esm()), ESM_IDS, ends, **safe)
    case("esm_SequenceClassification", transformers.EsmForSequenceClassification(esm(num_labels=3)), ESM_IDS, ends, **safe)
    case("esm_TokenClassification", transformers.EsmForTokenClassification(esm(num_labels=3)), ESM_IDS, ends, **safe)
    if old:
        case("esm_MaskedLM_bin", masked(esm()), ESM_IDS, ends, **old)
        case("esm_MaskedLM_bin_sharded", masked(esm()), ESM_IDS, ends, max_shard_size="6KB", **old)
    vocabulary = "[PAD] [UNK] [CLS] [SEP] [MASK] L A G V E S I K R D T P N Q F Y M H C W X".split()
    files = {"vocab.txt": "\n".join(vocabulary) + "\n"}
    bert = lambda **more: transformers.BertConfig(vocab_size=26, max_position_embeddings=64, **SIZES, **more)
    case("bert_MaskedLM", transformers.BertForMaskedLM(bert()), BERT_IDS, ends, files=files, **safe)
    case("bert_MaskedLM_untied", transformers.BertForMaskedLM(bert(tie_word_embeddings=False)), BERT_IDS, ends, files=files, **safe)
    case("bert_bare", transformers.BertModel(bert()), BERT_IDS, ends, files=files, **safe)
    case("bert_SequenceClassification", transformers.BertForSequenceClassification(bert(num_labels=3)), BERT_IDS, ends, files=files, **safe)
    if old:
        case("bert_MaskedLM_bin", transformers.BertForMaskedLM(bert()), BERT_IDS, ends, files=files, **old)
    sizes = dict(vocab_size=150, d_model=16, d_kv=8, num_heads=2, d_ff=32, num_layers=1, num_decoder_layers=1)
    t5 = lambda **more: transformers.T5Config(**sizes, **more)
    case("t5_encoder", transformers.T5EncoderModel(t5()), T5_IDS, ends, **safe)
    case("t5_encoder_f16", transformers.T5EncoderModel(t5()), T5_IDS, ends, torch.float16, **safe)
    case("t5_gated", transformers.T5EncoderModel(t5(feed_forward_proj="gated-gelu")), T5_IDS, ends, **safe)
    case("t5_whole", transformers.T5ForConditionalGeneration(t5(decoder_start_token_id=0)), T5_IDS, ends, **safe)
    if hasattr(transformers, "ModernBertModel"):
        letters = "<pad> <unk> <cls> <eos> <mask> A C D E F G H I K L M N P Q R S T V W Y X".split()
        config = transformers.ModernBertConfig(
            vocab_size=26, pad_token_id=0, local_attention=4, **{**SIZES, "num_hidden_layers": 2},
            **({} if int(transformers.__version__[0]) > 4 else {"reference_compile": False}),
        )
        config._attn_implementation = "eager"
        case("modernbert_bare", transformers.ModernBertModel(config), LETTER_IDS, (0, 0),
             files={"vocab.txt": "\n".join(letters) + "\n"}, **safe)
    if hasattr(transformers, "EsmcModel"):
        esmc = lambda: transformers.EsmcConfig(vocab_size=64, **SIZES)
        case("esmc_MaskedLM", transformers.EsmcForMaskedLM(esmc()), ESM_IDS, ends, **safe)
        case("esmc_bare", transformers.EsmcModel(esmc()), ESM_IDS, ends, **safe)


shutil.rmtree(OUT, ignore_errors=True)
make()
for file in OUT.glob("*/generation_config.json"):
    file.unlink()
print(transformers.__version__, len(list(OUT.iterdir())), "models,", sum(f.stat().st_size for f in OUT.glob("*/*")) // 1024, "KiB")
