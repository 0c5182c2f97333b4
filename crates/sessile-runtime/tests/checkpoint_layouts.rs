//! The same network in every layout that people keep it in gives the same answer, and what would
//! give another one is refused by name. Layouts are made from the golden checkpoints.

use std::fs;
use std::path::{Path, PathBuf};

use crate::golden::decode::states_and_scores;
use crate::golden::run::{BUDGET, Place, answers, processor, values};
use crate::golden::{bart, decode, path, sequences};
use serde_json::{Map, Value, json};
use sessile_cpu::Isa;
use sessile_device::{DType, OutputKind, OutputSet};
use sessile_models::{Model, ModelError, ModelErrorKind};
use tempfile::TempDir;

/// A copy of a golden checkpoint that is changed before it is opened.
struct Layout {
    folder: TempDir,
    header: Map<String, Value>,
    data: Vec<u8>,
}

impl Layout {
    fn of(golden: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(path(golden)).unwrap() {
            let from = entry.unwrap().path();
            let name = from.file_name().unwrap();
            if from.is_file() && name != "model.safetensors" {
                fs::copy(&from, folder.path().join(name)).unwrap();
            }
        }
        let file = fs::read(path(golden).join("model.safetensors")).unwrap();
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let mut header: Map<String, Value> = serde_json::from_slice(&file[8..8 + length]).unwrap();
        header.remove("__metadata__");
        Layout {
            folder,
            header,
            data: file[8 + length..].to_vec(),
        }
    }

    /// Gives every tensor the name that `to` makes of its own.
    fn renamed(mut self, to: impl Fn(&str) -> String) -> Self {
        self.header = std::mem::take(&mut self.header)
            .into_iter()
            .map(|(name, entry)| (to(&name), entry))
            .collect();
        self
    }

    fn one_renamed(self, from: &str, to: &str) -> Self {
        assert!(self.header.contains_key(from), "{from}");
        self.renamed(|name| if name == from { to } else { name }.to_owned())
    }

    /// Adds a tensor of f32 values.
    fn with(mut self, name: &str, shape: &[usize], value: f32) -> Self {
        let start = self.data.len();
        for _ in 0..shape.iter().product() {
            self.data.extend(value.to_le_bytes());
        }
        let offsets = [start, self.data.len()];
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": offsets});
        self.header.insert(name.to_owned(), entry);
        self
    }

    /// Adds a tensor with the values of another.
    fn with_copy(mut self, of: &str, name: &str) -> Self {
        let mut entry = self.header[of].clone();
        let offset = |at: usize| entry["data_offsets"][at].as_u64().unwrap() as usize;
        let bytes = self.data[offset(0)..offset(1)].to_vec();
        let start = self.data.len();
        self.data.extend(bytes);
        entry["data_offsets"] = json!([start, self.data.len()]);
        self.header.insert(name.to_owned(), entry);
        self
    }

    fn with_metadata(mut self, metadata: Value) -> Self {
        self.header.insert("__metadata__".to_owned(), metadata);
        self
    }

    fn with_setting(self, key: &str, value: Value) -> Self {
        self.with_settings(|config| {
            config.insert(key.to_owned(), value);
        })
    }

    fn with_settings(self, change: impl FnOnce(&mut Map<String, Value>)) -> Self {
        let path = self.folder.path().join("config.json");
        let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(path, serde_json::to_vec(&config).unwrap()).unwrap();
        self
    }

    /// Writes the weights; the folder.
    fn folder(&self) -> &Path {
        let header = serde_json::to_vec(&self.header).unwrap();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header);
        file.extend(&self.data);
        fs::write(self.folder.path().join("model.safetensors"), file).unwrap();
        self.folder.path()
    }
}

/// A family's golden checkpoint, the base of its names, and a tensor that no encoder has.
const ENCODERS: [(&str, &str, &str); 4] = [
    ("esm2/tiny_a", "esm.", "esm.encoder.layer.0.extra.weight"),
    ("dnabert_s/tiny_a", "bert.", "encoder.layer.0.extra.weight"),
    (
        "prostt5/tiny",
        "",
        "encoder.block.0.layer.2.DenseReluDense.wi.weight",
    ),
    ("modernbert/tc20", "model.", "model.layers.0.extra.weight"),
];

fn isa() -> Isa {
    Isa::detect().unwrap()
}

/// The vectors of a few sequences.
fn vectors(golden: &str, folder: &Path) -> Vec<Vec<f32>> {
    let files = Model::open(folder).unwrap_or_else(|error| panic!("{golden}: {error}"));
    let outputs: OutputSet = [OutputKind::MeanAll, OutputKind::Cls].into_iter().collect();
    let requests: Vec<_> = sequences(golden)
        .iter()
        .filter(|sequence| (5..60).contains(&sequence.text.len()))
        .take(3)
        .map(|sequence| {
            let tokens = files.tokenizer().encode(sequence.text.as_bytes()).tokens;
            (tokens, outputs)
        })
        .collect();
    assert!(!requests.is_empty());
    answers(&Place::Cpu(isa()), &files, DType::F32, BUDGET, &requests)
        .iter()
        .map(|output| {
            let kinds = [OutputKind::MeanAll, OutputKind::Cls];
            kinds.map(|kind| values(output, kind)).concat()
        })
        .collect()
}

fn same(golden: &str, layout: &Layout, what: &str) {
    let found = vectors(golden, layout.folder());
    assert_eq!(found, vectors(golden, &path(golden)), "{golden}: {what}");
}

/// The error of opening or loading.
fn refusal(folder: &Path) -> ModelError {
    let checked = Model::open(folder).and_then(|files| files.check());
    checked.expect_err("a refusal")
}

fn bart_refusal(folder: &Path) -> ModelError {
    let loaded = Model::open(folder)
        .and_then(|files| files.load_writer(&processor(isa()), DType::F32).map(|_| ()));
    loaded.expect_err("a refusal")
}

fn bart_matches(layout: &Layout) {
    let files = Model::open(layout.folder()).unwrap();
    bart::states_and_scores_of(&files, DType::F32, &Place::Cpu(isa()));
}

#[test]
fn what_wrappers_put_before_names_is_seen_through() {
    for wrapper in [
        "module.",
        "model.",
        "_orig_mod.",
        "module._orig_mod.",
        "model._forward_module.net.",
        "encoder.",
    ] {
        for (golden, ..) in ENCODERS {
            let layout = Layout::of(golden).renamed(|name| format!("{wrapper}{name}"));
            same(golden, &layout, wrapper);
        }
        bart_matches(&Layout::of(bart::MODEL).renamed(|name| format!("{wrapper}{name}")));
    }
}

#[test]
fn a_word_of_torch_compile_inside_of_names_is_seen_through() {
    let layout =
        Layout::of("esm2/tiny_a").renamed(|name| name.replace(".layer.", "._orig_mod.layer."));
    same("esm2/tiny_a", &layout, "inside");
}

#[test]
fn the_bare_encoder_gives_the_same_vectors() {
    for (golden, base, _) in ENCODERS {
        for wrapper in ["", "module.", "encoder."] {
            let layout = Layout::of(golden).renamed(|name| {
                let bare = name.strip_prefix(base).unwrap_or(name);
                format!("{wrapper}{bare}")
            });
            same(golden, &layout, wrapper);
        }
    }
    let bare = |name: &str| name.strip_prefix("model.").unwrap_or(name).to_owned();
    bart_matches(&Layout::of(bart::MODEL).renamed(bare));
}

const BART_TABLES: [&str; 4] = [
    "model.shared.weight",
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
];

#[test]
fn a_shared_table_is_found_under_any_of_its_names() {
    for name in BART_TABLES {
        bart_matches(&Layout::of(bart::MODEL).one_renamed(BART_TABLES[0], name));
    }
    let golden = "prostt5/tiny";
    for name in [
        "encoder.embed_tokens.weight",
        "decoder.embed_tokens.weight",
        "lm_head.weight",
    ] {
        same(
            golden,
            &Layout::of(golden).one_renamed("shared.weight", name),
            name,
        );
    }
    let esm = Layout::of("esm2/tiny_a");
    let esm = esm.one_renamed(
        "esm.embeddings.word_embeddings.weight",
        "lm_head.decoder.weight",
    );
    same("esm2/tiny_a", &esm, "the decoder's");
}

#[test]
fn aliases_in_the_metadata_are_names() {
    let [shared, encoder, decoder, scores] = BART_TABLES;
    let layout = Layout::of(bart::MODEL)
        .one_renamed(shared, decoder)
        .with_metadata(json!({
            "format": "pt", encoder: decoder, shared: decoder, scores: decoder
        }));
    bart_matches(&layout);
}

#[test]
fn copies_of_a_shared_table_are_one_and_other_values_are_refused() {
    let [shared, encoder, _, scores] = BART_TABLES;
    let copies = Layout::of(bart::MODEL)
        .with_copy(shared, encoder)
        .with_copy(shared, scores);
    bart_matches(&copies);
    let other = Layout::of(bart::MODEL).with(scores, &[620, 48], 0.5);
    let error = bart_refusal(other.folder());
    assert_eq!(error.kind(), ModelErrorKind::Mismatch);
    assert!(error.to_string().contains("lm_head.weight"), "{error}");
    let other = Layout::of("esm2/tiny_a").with("lm_head.decoder.weight", &[33, 48], 0.5);
    let error = refusal(other.folder());
    assert!(
        error.to_string().contains("lm_head.decoder.weight"),
        "{error}"
    );
}

#[test]
fn tables_that_are_not_tied_are_each_applied() {
    let [shared, encoder, decoder, scores] = BART_TABLES;
    let scores_of = |layout: &Layout| {
        let files = Model::open(layout.folder()).unwrap();
        let (model, mut lane) = decode::load(&files, &processor(isa()), DType::F32, 1);
        states_and_scores(&model, &mut lane, DType::F32, &[0, 20, 30, 2], &[2, 0])
    };
    let untied = || {
        Layout::of(bart::MODEL)
            .with_setting("tie_word_embeddings", json!(false))
            .with_copy(shared, encoder)
    };
    let plain = scores_of(&Layout::of(bart::MODEL));
    let copies = untied()
        .with_copy(shared, decoder)
        .with_copy(shared, scores);
    assert_eq!(scores_of(&copies), plain);
    let other_decoder = untied()
        .with(decoder, &[620, 48], 0.5)
        .with_copy(shared, scores);
    let found = scores_of(&other_decoder);
    assert_eq!(found.0, plain.0, "the encoder has the same table");
    assert_ne!(found.1, plain.1, "the decoder has another");
    let other_scores = untied()
        .with_copy(shared, decoder)
        .with(scores, &[620, 48], 0.0);
    let (_, found) = scores_of(&other_scores);
    let bias = found[0].clone();
    assert_eq!(found[1], bias, "nothing but final_logits_bias is left");
    // Older files leave out what the stacks share; nobody says then what they read.
    for missing in [untied(), untied().with_copy(shared, decoder)] {
        let error = bart_refusal(missing.folder());
        assert_eq!(error.kind(), ModelErrorKind::MissingTensor, "{error}");
        assert!(error.to_string().contains("does not tie"), "{error}");
    }
}

#[test]
fn a_null_is_a_missing_key() {
    for (golden, ..) in ENCODERS {
        let nulls = Layout::of(golden)
            .with_metadata(Value::Null)
            .with_settings(|config| {
                for key in [
                    "tie_word_embeddings",
                    "layer_norm_eps",
                    "max_position_embeddings",
                ] {
                    if !config.contains_key(key) {
                        config.insert(key.to_owned(), Value::Null);
                    }
                }
            });
        same(golden, &nulls, "nulls");
    }
}

#[test]
fn an_index_may_list_the_copies_of_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let golden = path("esm2/tiny_a");
    for from in [golden.clone(), golden.join("variant_sharded")] {
        for entry in fs::read_dir(from).unwrap() {
            let from = entry.unwrap().path();
            let name = from.file_name().unwrap().to_owned();
            if from.is_file() && name != "model.safetensors" {
                fs::copy(&from, folder.path().join(name)).unwrap();
            }
        }
    }
    let index = folder.path().join("model.safetensors.index.json");
    let mut value: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let shard = value["weight_map"]["lm_head.bias"].clone();
    let list = |value: &mut Value, name: &str| {
        value["weight_map"][name] = shard.clone();
        fs::write(&index, value.to_string()).unwrap();
    };
    list(&mut value, "lm_head.decoder.weight");
    let found = vectors("esm2/tiny_a", folder.path());
    assert_eq!(found, vectors("esm2/tiny_a", &golden));
    list(&mut value, "lm_head.of_nobody.weight");
    let error = refusal(folder.path());
    assert!(
        error.to_string().contains("lm_head.of_nobody.weight"),
        "{error}"
    );
}

#[test]
fn settings_that_would_change_the_answer_are_refused_by_name() {
    let quantised = json!({"quant_method": "bitsandbytes", "load_in_8bit": true});
    let dynamic = json!({"rope_type": "dynamic", "factor": 2.0});
    let cases = [
        ("esm2/tiny_a", "hidden_act", json!("swish")),
        (
            "esm2/tiny_a",
            "position_embedding_type",
            json!("relative_key"),
        ),
        ("esm2/tiny_a", "quantization_config", quantised.clone()),
        ("esm2/tiny_a", "is_decoder", json!(true)),
        ("esm2/tiny_a", "is_folding_model", json!(true)),
        (
            "esm2/tiny_a",
            "rope_scaling",
            json!({"type": "linear", "factor": 4.0}),
        ),
        (
            "esm2/tiny_a",
            "rope_parameters",
            json!({"rope_theta": 500.0}),
        ),
        ("dnabert_s/tiny_a", "hidden_act", json!("gelu_new")),
        ("dnabert_s/tiny_a", "pruned_heads", json!({"0": [1]})),
        ("prostt5/tiny", "feed_forward_proj", json!("gated-relu")),
        ("prostt5/tiny", "dense_act_fn", json!("gelu_new")),
        ("prostt5/tiny", "quantization_config", quantised),
        ("modernbert/tc20", "hidden_activation", json!("silu")),
        ("modernbert/tc20", "mlp_bias", json!(true)),
        ("modernbert/tc20", "rope_scaling", dynamic.clone()),
        (
            "modernbert/tc20",
            "rope_parameters",
            json!({"full_attention": dynamic}),
        ),
        (
            "modernbert/tc20",
            "rope_parameters",
            json!({"rope_theta": 500.0}),
        ),
        // Biases that the configuration asks for are tensors that must be there.
        ("modernbert/tc20", "attention_bias", json!(true)),
    ];
    for (golden, key, value) in cases {
        let error = refusal(Layout::of(golden).with_setting(key, value).folder());
        let (said, what) = (error.to_string(), format!("{golden} {key}: {error}"));
        let names = [key, "rope_type", "Wqkv.bias"];
        assert!(names.iter().any(|name| said.contains(name)), "{what}");
    }
    for (key, value) in [
        ("activation_function", json!("relu")),
        ("normalize_before", json!(true)),
    ] {
        let error = bart_refusal(Layout::of(bart::MODEL).with_setting(key, value).folder());
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[test]
fn angles_are_read_wherever_the_configuration_keeps_them() {
    let golden = "modernbert/tc20";
    let by_kind = |config: &mut Map<String, Value>| {
        let theta = |key: &str| config[key].clone();
        let parameters = json!({
            "full_attention": {"rope_type": "default", "rope_theta": theta("global_rope_theta")},
            "sliding_attention": {"rope_type": "default", "rope_theta": theta("local_rope_theta")},
        });
        config.remove("global_rope_theta");
        config.remove("local_rope_theta");
        config.insert("rope_parameters".to_owned(), parameters);
    };
    same(
        golden,
        &Layout::of(golden).with_settings(by_kind),
        "by kind of layer",
    );
    let scaled = |key: &str, value: Value| {
        let layout = Layout::of(golden).with_setting(key, value);
        vectors(golden, layout.folder())
    };
    let plain = vectors(golden, &path(golden));
    for (key, value) in [
        ("rope_scaling", json!({"type": "linear", "factor": 4.0})),
        ("global_rope_theta", json!(300.0)),
        ("local_rope_theta", Value::Null),
    ] {
        assert_ne!(scaled(key, value), plain, "{key}");
    }
}

#[test]
fn a_tensor_without_a_place_in_the_network_is_refused_by_name() {
    for (golden, _, name) in ENCODERS {
        let layout = Layout::of(golden).with(name, &[4, 4], 1.0);
        let error = refusal(layout.folder());
        assert_eq!(error.kind(), ModelErrorKind::Mismatch, "{error}");
        assert!(
            error.to_string().contains("extra") || error.to_string().contains(name),
            "{error}"
        );
    }
    let name = "model.encoder.layer_norm.weight";
    let error = bart_refusal(Layout::of(bart::MODEL).with(name, &[48], 1.0).folder());
    assert!(error.to_string().contains(name), "{error}");
    let name = "lm_head.second.weight";
    let error = refusal(
        Layout::of("esm2/tiny_a")
            .with(name, &[48, 48], 1.0)
            .folder(),
    );
    assert!(error.to_string().contains(name), "{error}");
}

#[test]
fn heads_of_other_tasks_are_told_and_change_nothing() {
    for (golden, head) in [
        ("esm2/tiny_a", "classifier.dense.weight"),
        ("dnabert_s/tiny_a", "classifier.weight"),
        ("prostt5/tiny", "classifier.weight"),
    ] {
        let layout = Layout::of(golden).with(head, &[2, 48], 1.0);
        same(golden, &layout, head);
        let (_, report) = Model::open(layout.folder()).unwrap().check().unwrap();
        assert_eq!(report.ignored, [head], "{golden}");
    }
}

#[test]
fn a_head_with_more_tensors_than_are_known_is_refused_by_name() {
    let golden = "modernbert/tc20";
    let layout = Layout::of(golden).with("heads.3di.gate.weight", &[96, 48], 1.0);
    let error = refusal(layout.folder());
    assert_eq!(error.kind(), ModelErrorKind::Mismatch, "{error}");
    assert!(
        error.to_string().contains("heads.3di.gate.weight"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("--head-map"));
    // A head of confidence is known, and not used.
    same(
        golden,
        &Layout::of(golden).with("plddt_head.0.weight", &[12, 48], 1.0),
        "plddt",
    );
}

#[test]
fn the_head_of_the_first_modernprost_needs_its_name() {
    let golden = "checkpoints/modernprost_step_down";
    let layout = Layout::of(golden).with_settings(|config| {
        config.insert("model_type".to_owned(), json!("modernbert"));
        config.insert("architectures".to_owned(), json!(["ModernBertModel"]));
    });
    let error = refusal(layout.folder());
    assert!(error.to_string().contains("projection"), "{error}");
}

#[test]
fn the_first_modernprost_needs_no_vocabulary_file() {
    let golden = "checkpoints/modernprost_step_down";
    let layout = Layout::of(golden);
    fs::remove_file(layout.folder().join("vocab.txt")).unwrap();
    let tokens = |folder: &Path| {
        let files = Model::open(folder).unwrap();
        let encoding = files.tokenizer().encode(b"ALGVSREDTIPKFQNYMHWCXBOUZ*");
        (encoding.tokens, files.tokenizer().len())
    };
    assert_eq!(tokens(layout.folder()), tokens(&path(golden)));
}

fn adapter(settings: Value) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let from = path("checkpoints/esm_peft_beside");
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        fs::copy(&from, folder.path().join(from.file_name().unwrap())).unwrap();
    }
    let path = folder.path().join("adapter_config.json");
    let mut said: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (key, value) in settings.as_object().unwrap() {
        said[key] = value.clone();
    }
    fs::write(&path, said.to_string()).unwrap();
    let root = folder.path().to_owned();
    (folder, root)
}

#[test]
fn a_lone_adapter_is_refused_with_the_name_of_its_base() {
    let (_folder, root) = adapter(json!({"base_model_name_or_path": "facebook/esm2_t6_8M_UR50D"}));
    fs::remove_file(root.join("model.safetensors")).unwrap();
    for path in [root.clone(), root.join("adapter_model.safetensors")] {
        let error = Model::open(&path).err().expect("a refusal");
        assert_eq!(error.kind(), ModelErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("adapter"), "{error}");
        assert!(
            error.to_string().contains("facebook/esm2_t6_8M_UR50D"),
            "{error}"
        );
    }
}

#[test]
fn adapters_of_other_kinds_are_refused_by_name() {
    for (key, value) in [
        ("peft_type", json!("IA3")),
        ("use_dora", json!(true)),
        ("bias", json!("lora_only")),
        ("fan_in_fan_out", json!(true)),
        ("modules_to_save", json!(["classifier"])),
        ("alpha_pattern", json!({"query": 4})),
        ("layer_replication", json!([[0, 2]])),
        ("init_lora_weights", json!("pissa")),
        ("some_later_setting", json!(3)),
        ("target_modules", json!(["query"])),
        ("layers_to_transform", json!([0])),
        ("exclude_modules", json!(["query"])),
        ("rank_pattern", json!({"query": 2})),
        ("r", json!(8)),
    ] {
        let (_folder, root) = adapter(json!({key: value}));
        let error = Model::open(&root).err().expect("a refusal");
        assert_eq!(error.kind(), ModelErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[test]
fn the_strength_of_an_adapter_is_applied() {
    let run = |settings: Value| {
        let (_folder, root) = adapter(settings);
        let hash = Model::open(&root).unwrap().content_hash().unwrap();
        (vectors("esm2/tiny_a", &root), hash)
    };
    let plain = run(json!({}));
    // alpha / r = 8 / 4 = 4 / √4
    assert_eq!(run(json!({"lora_alpha": 4, "use_rslora": true})).0, plain.0);
    let weaker = run(json!({"lora_alpha": 4}));
    assert_ne!(weaker.0, plain.0);
    assert_ne!(weaker.1, plain.1, "the hash knows of it");
}

#[test]
fn a_table_of_positions_limits_the_length() {
    let files = Model::open(&path("checkpoints/esm_no_position_key")).unwrap();
    let (model, _) = files.load(&processor(isa()), DType::F32, 5000).unwrap();
    assert_eq!(model.info().max_tokens, 1024);
    assert_eq!(files.description().max_tokens, 1024);
}
