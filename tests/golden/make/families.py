"""Makes ../families/NAME: a tiny model of each family with random weights, and what transformers makes of it.

Each folder has the files of the model as the library saves them, `inputs.json` (texts with their token ids) and
`expected.safetensors` with the tensors `NUMBER.WHAT` of text NUMBER, in f32.

Needs torch, transformers 5.24, sentencepiece and safetensors; about a minute on a CPU:
python tests/golden/make/families.py [NAME...]
"""

import json
import pathlib
import shutil
import sys

import sentencepiece
import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent.parent
OUT = HERE / "families"
PROTEINS = [
    "M",
    "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ",
    "ACDEFGHIKLMNPQRSTVWY",
    "GSHMXXLAGVSERTIDPKQNFYMHWC" * 3,
    "MUZOBX",
    "WWWWWWWWWWWWWWWWWPPPPPPPPPPPPPPPPPAAAAAAAAAAAAAAA",
]


def spread(model):
    """Weights that do something: the library's own start leaves every layer close to nothing."""
    torch.manual_seed(11)
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            if "norm" in name.lower() and name.endswith("weight"):
                parameter.normal_(1.0, 0.2)
            elif parameter.dim() == 1:
                parameter.normal_(0.0, 0.2)
            else:
                parameter.normal_(0.0, 1.3 / parameter.shape[-1] ** 0.5)
    return model.eval()


def write(name, texts, ids, run, head, tail, mask=None, files=()):
    """Runs every text and writes what came out. `run(ids)` gives states by layer, logits or None, and what else there
    is by name; `head` and `tail` are the special tokens before and after the residues."""
    folder = OUT / name
    expected, inputs = {}, []
    for number, (text, tokens) in enumerate(zip(texts, ids)):
        tokens = torch.tensor([tokens])
        with torch.no_grad():
            states, logits, more = run(tokens)
        last = states[-1][0]
        inner = last[head : len(last) - tail]
        inputs.append({"name": str(number), "sequence": text, "input_ids": tokens[0].tolist()})
        if len(inner) == 0:
            continue
        put = lambda what, value: expected.__setitem__(f"{number}.{what}", value.contiguous().float().clone())
        put("mean_all", last.mean(0))
        put("cls", last[0])
        put("mean", inner.mean(0))
        put("per_residue", inner)
        put("max", inner.max(0).values)
        put("std", inner.std(0, correction=0))
        put("eos", last[-1])
        if number < 2:
            put("hidden_states", torch.stack([state[0] for state in states]))
        for what, value in more.items():
            put(what, value)
        if logits is not None:
            put("logits", logits[0])
            if mask is not None and number < 3:
                scores = []
                for at in range(head, tokens.shape[1] - tail):
                    hidden = tokens.clone()
                    hidden[0, at] = mask
                    with torch.no_grad():
                        scores.append(run(hidden)[1][0, at].log_softmax(-1)[tokens[0, at]])
                put("masked_logprob", torch.stack(scores))
    save_file(expected, folder / "expected.safetensors")
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in inputs)
    (folder / "inputs.json").write_text(f"[\n{lines}\n]\n")
    for junk in files:
        (folder / junk).unlink(missing_ok=True)


def fresh(name):
    shutil.rmtree(OUT / name, ignore_errors=True)
    (OUT / name).mkdir(parents=True)
    return OUT / name


BERT = dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=3, intermediate_size=96, max_position_embeddings=128)


def bert_runner(model):
    def run(tokens):
        out = model.bert(tokens, output_hidden_states=True)
        logits = model.cls.predictions(out.last_hidden_state)
        return out.hidden_states, logits, {"pooler": out.pooler_output[0]}

    return run


def bert_protein():
    """As ProtBERT: residues between [CLS] and [SEP], with the head of masked tokens and the pooler."""
    folder = fresh("bert_protein")
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] L A G V E S I K R D T P N Q F Y M H C W X U B Z O".split()
    sizes = {**BERT, "max_position_embeddings": 640}
    model = transformers.BertForPreTraining(transformers.BertConfig(vocab_size=len(words), **sizes))
    spread(model).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "tokenizer_class": "BertTokenizer"}))
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    # The model card's own way: rare residues become X, and spaces between all.
    spaced = [" ".join(text.translate(str.maketrans("UZOB", "XXXX"))) for text in PROTEINS]
    ids = [tokenizer(text)["input_ids"] for text in spaced]
    write("bert_protein", PROTEINS, ids, bert_runner(model), 1, 1, mask=4)


TEXTS = [
    "The protein binds DNA.",
    "  Tabs\tand\nlines,  MIXED Case; 3.14 (x) -- don't!",
    "Crème brûlée, naïve Ångström, İstanbul, ﬁne Ω",
    "蛋白质 binds 中文DNA，完。",
    "unbelievablyunfathomable zzzzq 🧬 [MASK] the [MASK]s [mask]",
    "control\u0000\u200bcharacters\ufffd and\u00a0spaces\u3000here “quoted” — dash… £5 ＡＢ",
    "x" * 101 + " " + "e" * 100,
    "",
    "한국어 ไทย हिन्दी עִבְרִית العربية",
    "the of and " * 30,
]


def bert_text():
    """As MiniLM: words and their pieces, lower case, without the head of masked tokens."""
    folder = fresh("bert_text")
    pieces = "the of and to in protein bind ##s ##ing dna rna un ##believ ##ab ##ly cre ##me brule ##e naive ang ##strom mask".split()
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    marks = list("0123456789.,;:!?'\"()[]-$£“”—…") + list("蛋白质中文完，。") + ["한", "ᄒ", "##ᅡ", "##ᆫ", "ω", "Ω", "##क", "ह", "##न"]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + pieces + letters + ["##" + c for c in letters] + marks
    words = list(dict.fromkeys(words))
    model = transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **BERT))
    spread(model).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    tokenizer = transformers.BertTokenizer(vocab=str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    ids = [tokenizer(text)["input_ids"] for text in TEXTS]

    def run(tokens):
        out = model(tokens, output_hidden_states=True)
        return out.hidden_states, None, {"pooler": out.pooler_output[0]}

    write("bert_text", TEXTS, ids, run, 1, 1)


def esm_ids(texts):
    """ESM's own vocabulary."""
    letters = "LAGVSERTIDPKQNFYMHWCXBUZO"
    return [[0] + [4 + letters.index(letter) for letter in text] + [2] for text in texts]


def esm1b():
    """ESM-1b: learned positions behind the id of <pad>, a norm before the layers, token dropout."""
    folder = fresh("esm1b")
    config = transformers.EsmConfig(
        vocab_size=33, mask_token_id=32, pad_token_id=1, hidden_size=48, num_hidden_layers=3, num_attention_heads=3,
        intermediate_size=96, max_position_embeddings=128, position_embedding_type="absolute", token_dropout=True,
        emb_layer_norm_before=True, layer_norm_eps=1e-5, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )
    model = spread(transformers.EsmForMaskedLM(config))
    model.save_pretrained(folder)

    def run(tokens):
        out = model(tokens, attention_mask=torch.ones_like(tokens), output_hidden_states=True)
        return out.hidden_states, out.logits, {}

    write("esm1b", PROTEINS, esm_ids(PROTEINS), run, 1, 1, mask=32)


def esmc():
    """ESM C as transformers saves it, and in the layout of EvolutionaryScale's own package."""
    folder = fresh("esmc")
    config = transformers.EsmcConfig(
        vocab_size=64, hidden_size=48, num_hidden_layers=3, num_attention_heads=3, intermediate_size=128
    )
    model = spread(transformers.EsmcForMaskedLM(config))
    model.save_pretrained(folder)

    def run(tokens):
        out = model(tokens, output_hidden_states=True)
        return out.hidden_states, out.logits, {}

    tokenizer = transformers.EsmcTokenizer()
    ids = [tokenizer(text)["input_ids"] for text in PROTEINS]
    write("esmc", PROTEINS, ids, run, 1, 1, mask=32)


def esmc_package():
    """The same network as EvolutionaryScale's `esm` package saves it: a state dict alone, heads of 64 columns."""
    folder = fresh("esmc_package")
    config = transformers.EsmcConfig(
        vocab_size=64, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=192
    )
    model = spread(transformers.EsmcForMaskedLM(config))
    # The weights alone in half precision: the angles stay as they are.
    own = {name: tensor.half() for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: tensor.float() for name, tensor in own.items()})
    package = {"embed.weight": own["esmc.embed_tokens.weight"], "transformer.norm.weight": own["esmc.norm.weight"]}
    for place, name in [("0", "dense"), ("2", "layer_norm"), ("3", "decoder")]:
        for end in ["weight", "bias"]:
            package[f"sequence_head.{place}.{end}"] = own[f"lm_head.{name}.{end}"]
    names = {
        "attn.layernorm_qkv.0.weight": ["input_layernorm.weight"],
        "attn.layernorm_qkv.0.bias": ["input_layernorm.bias"],
        "attn.layernorm_qkv.1.weight": [f"self_attn.{part}_proj.weight" for part in "qkv"],
        "attn.q_ln.weight": ["self_attn.q_norm.weight"],
        "attn.k_ln.weight": ["self_attn.k_norm.weight"],
        "attn.out_proj.weight": ["self_attn.o_proj.weight"],
        "ffn.0.weight": ["post_attention_layernorm.weight"],
        "ffn.0.bias": ["post_attention_layernorm.bias"],
        "ffn.1.weight": ["mlp.gate_proj.weight", "mlp.up_proj.weight"],
        "ffn.3.weight": ["mlp.down_proj.weight"],
    }
    for layer in range(config.num_hidden_layers):
        for name, parts in names.items():
            tensors = [own[f"esmc.layers.{layer}.{part}"] for part in parts]
            package[f"transformer.blocks.{layer}.{name}"] = torch.cat(tensors)
    torch.save({name: tensor.clone() for name, tensor in package.items()}, folder / "pytorch_model.bin")

    def run(tokens):
        out = model(tokens, output_hidden_states=True)
        return out.hidden_states, out.logits, {}

    tokenizer = transformers.EsmcTokenizer()
    ids = [tokenizer(text)["input_ids"] for text in PROTEINS]
    write("esmc_package", PROTEINS, ids, run, 1, 1, mask=32)


SMALL = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, max_position_embeddings=128)
LABELS = dict(enumerate(["cytoplasm", "membrane", "nucleus"]))
ESM = dict(vocab_size=33, mask_token_id=32, pad_token_id=1, position_embedding_type="rotary", token_dropout=True, layer_norm_eps=1e-5)


def classes(name, model, encoder, ids, tail):
    """A head of classes: of the sequence, or of every residue."""
    folder = fresh(name)
    spread(model).save_pretrained(folder)

    def run(tokens):
        out = encoder(tokens, attention_mask=torch.ones_like(tokens), output_hidden_states=True)
        logits = model(tokens, attention_mask=torch.ones_like(tokens)).logits[0]
        if logits.dim() == 2:
            logits = logits[tail[0] : len(tokens[0]) - tail[1]]
        return out.hidden_states, None, {"classes": logits}

    write(name, PROTEINS, ids, run, *tail)
    return folder


def esm_classes():
    model = transformers.EsmForSequenceClassification(transformers.EsmConfig(**ESM, **SMALL, id2label=LABELS))
    classes("esm_classes", model, model.esm, esm_ids(PROTEINS), (1, 1))


def esm_token_classes():
    model = transformers.EsmForTokenClassification(transformers.EsmConfig(**ESM, **SMALL, num_labels=4))
    classes("esm_token_classes", model, model.esm, esm_ids(PROTEINS), (1, 1))


def bert_ids():
    letters = "LAGVESIKRDTPNQFYMHCWX"
    rare = str.maketrans("UZOB", "XXXX")
    return [[2] + [5 + letters.index(letter) for letter in text.translate(rare)] + [3] for text in PROTEINS]


def bert_vocabulary(folder):
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] L A G V E S I K R D T P N Q F Y M H C W X".split()
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "tokenizer_class": "BertTokenizer"}))


def bert_classes():
    model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=26, **SMALL, id2label=LABELS))
    bert_vocabulary(classes("bert_classes", model, model.bert, bert_ids(), (1, 1)))


def bert_token_classes():
    model = transformers.BertForTokenClassification(transformers.BertConfig(vocab_size=26, **SMALL, num_labels=4))
    bert_vocabulary(classes("bert_token_classes", model, model.bert, bert_ids(), (1, 1)))


def t5_token_classes():
    pieces = ["<pad>", "</s>", "<unk>"] + list("ALGVSREDTIPKFQNYMHWCXBOUZ")
    ids = [[pieces.index(letter) for letter in text.translate(str.maketrans("UZOB", "XXXX"))] + [1] for text in PROTEINS]
    config = transformers.T5Config(**{**T5, "num_layers": 1, "d_model": 32}, num_labels=3, id2label=LABELS)
    model = transformers.T5ForTokenClassification(config)
    folder = classes("t5_token_classes", model, model.transformer.encoder, ids, (0, 1))
    shutil.copy(HERE / "prostt5/tiny/spiece.model", folder)


T5 = dict(vocab_size=128, d_model=48, d_kv=16, num_heads=4, d_ff=96, num_layers=3, num_decoder_layers=1)


def t5(name, shards, **settings):
    folder = fresh(name)
    config = transformers.T5Config(**T5, **settings)
    model = spread(transformers.T5EncoderModel(config))
    with torch.no_grad():
        for parameter in (p for n, p in model.named_parameters() if n.endswith("Attention.q.weight")):
            parameter.mul_(0.2)
    if shards:
        model.half().save_pretrained(folder)
        tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
        (folder / "model.safetensors").unlink()
        names = sorted(tensors)
        files = {}
        for number, part in enumerate([names[::2], names[1::2]], 1):
            file = f"pytorch_model-0000{number}-of-00002.bin"
            torch.save({key: tensors[key].clone() for key in part}, folder / file)
            files |= dict.fromkeys(part, file)
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
        model.float()
    else:
        model.save_pretrained(folder)
    pieces = ["<pad>", "</s>", "<unk>"] + list("ALGVSREDTIPKFQNYMHWCXBOUZ")
    shutil.copy(HERE / "prostt5/tiny/spiece.model", folder)
    letters = str.maketrans("UZOB", "XXXX")
    ids = [[pieces.index(letter) for letter in text.translate(letters)] + [1] for text in PROTEINS]
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    for text, tokens in zip(PROTEINS, ids):
        assert tokenizer.encode(" ".join(text.translate(letters))) + [1] == tokens, text

    def run(tokens):
        out = model(tokens, output_hidden_states=True)
        return out.hidden_states, None, {}

    write(name, PROTEINS, ids, run, 0, 1)


def prot_t5():
    """ProtT5's encoder in half precision, as shards of `.bin`; computed in f32 with the rounded weights."""
    t5("prot_t5", True)


def ankh():
    """Ankh: gated units with the tanh form of GELU."""
    t5("ankh", False, feed_forward_proj="gated-gelu", tie_word_embeddings=False)


def ankh2():
    """Ankh 2: gated units with SiLU."""
    t5("ankh2", False, feed_forward_proj="gated-silu", tie_word_embeddings=False)


ALL = [bert_protein, bert_text, esm1b, esmc, esmc_package, prot_t5, ankh, ankh2,
       esm_classes, esm_token_classes, bert_classes, bert_token_classes, t5_token_classes]
wanted = sys.argv[1:] or [make.__name__ for make in ALL]
for make in ALL:
    if make.__name__ in wanted:
        make()
        print(make.__name__, sum(f.stat().st_size for f in (OUT / make.__name__).iterdir()) // 1024, "KiB")
