//! The tokenizer of T5 from `tokenizer.json`, which newer versions of `transformers` write.

use std::path::Path;

use serde_json::Value;

use super::unigram::{Kind, Piece, Spaces, Unigram};
use super::{END, Preprocessing, ProstT5Tokenizer, read};
use crate::error::ModelError;
use crate::tokenizer::file::TokenizerFile;

/// White space in pieces, as the file writes it.
const SPACE: &str = "\u{2581}";

/// Several spaces, as the file writes what one takes the place of.
const SPACES: &str = " {2,}";

/// What is done to a text before it is cut into pieces.
#[derive(Default)]
struct Pipeline {
    splits_first: bool,
    has_metaspace: bool,
    trims_end: bool,
    squeezes: bool,
    first_only: bool,
}

pub(super) fn read(
    path: &Path,
    preprocessing: Preprocessing,
) -> Result<ProstT5Tokenizer, ModelError> {
    let file = TokenizerFile::open(path)?;
    let kind = TokenizerFile::kind(file.model()).unwrap_or("of no kind");
    // Older files leave the kind out.
    if kind != "Unigram" && !(kind == "of no kind" && file.model().get("unk_id").is_some()) {
        return Err(file.unsupported(format!("a tokenizer {kind} where Unigram is expected")));
    }
    if file.model().get("byte_fallback") == Some(&true.into()) {
        return Err(file.unsupported("the setting byte_fallback = true"));
    }
    let mut pipeline = Pipeline::default();
    normalizer(&file, file.get("normalizer"), &mut pipeline)?;
    cutter(&file, file.get("pre_tokenizer"), &mut pipeline)?;
    if !pipeline.has_metaspace {
        return Err(file.unsupported("a T5 tokenizer without the pre-tokenizer Metaspace"));
    }
    let added = file.added()?;
    let mut pieces = pieces(&file)?;
    for piece in &mut pieces {
        // They are cut out of a text before it is cut into pieces.
        let is_special = |token: &_| matches!(token, Some(true));
        let token = added.iter().find(|token| token.content == piece.text);
        if piece.kind == Kind::Normal && is_special(&token.map(|token| token.is_special)) {
            piece.kind = Kind::Control;
        }
    }
    let spaces = Spaces::Metaspace {
        splits_first: pipeline.splits_first,
        trims_end: pipeline.trims_end,
        squeezes: pipeline.squeezes,
        first_only: pipeline.first_only,
    };
    let pieces = Unigram::new(pieces, spaces);
    let end = pieces.id(END);
    let template = file.template()?;
    if !template.before.is_empty() || end.is_none_or(|end| template.after != [end]) {
        return Err(file.unsupported("a post-processor that does not put `</s>` behind a text"));
    }
    // The file has its sentinels itself.
    ProstT5Tokenizer::new(pieces, 0, added, preprocessing)
        .map_err(|missing| read::lacks(path, missing))
}

/// The pieces, with their scores, in the order of their ids.
fn pieces(file: &TokenizerFile) -> Result<Vec<Piece>, ModelError> {
    let listed = file.model().get("vocab").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| file.malformed("there is no vocabulary"))?;
    let unknown = file.model().get("unk_id").and_then(Value::as_u64);
    let mut pieces = Vec::with_capacity(listed.len());
    for (id, piece) in (0_u64..).zip(listed) {
        let text = piece.get(0).and_then(Value::as_str);
        let score = piece.get(1).and_then(Value::as_f64);
        let (Some(text), Some(score)) = (text, score) else {
            return Err(file.malformed(format!("piece {id} has no text or no score")));
        };
        pieces.push(Piece {
            kind: match unknown == Some(id) {
                true => Kind::Unknown,
                false => Kind::Normal,
            },
            ..Piece::normal(text, score as f32)
        });
    }
    if unknown.is_none_or(|unknown| unknown >= pieces.len() as u64) {
        return Err(file.malformed("unk_id is not the id of a piece"));
    }
    Ok(pieces)
}

/// Normalisers of characters leave residues and states alone: they are ASCII letters.
fn normalizer(
    file: &TokenizerFile,
    part: &Value,
    pipeline: &mut Pipeline,
) -> Result<(), ModelError> {
    if part.is_null() {
        return Ok(());
    }
    match TokenizerFile::kind(part) {
        Some("Sequence") => {
            let parts = part.get("normalizers").and_then(Value::as_array);
            let mut parts = parts.into_iter().flatten();
            parts.try_for_each(|part| normalizer(file, part, pipeline))
        }
        Some("Precompiled" | "NFKC" | "NFC" | "Nmt") => Ok(()),
        Some("Strip") if part.get("strip_left") != Some(&true.into()) => {
            pipeline.trims_end = part.get("strip_right") == Some(&true.into());
            Ok(())
        }
        Some("Replace")
            if part.pointer("/pattern/Regex") == Some(&SPACES.into())
                && [Some(" "), Some(SPACE)]
                    .contains(&part.get("content").and_then(Value::as_str)) =>
        {
            pipeline.squeezes = true;
            Ok(())
        }
        kind => Err(file.unsupported(format!("the normalizer {}", kind.unwrap_or("of no kind")))),
    }
}

fn cutter(file: &TokenizerFile, part: &Value, pipeline: &mut Pipeline) -> Result<(), ModelError> {
    match TokenizerFile::kind(part) {
        Some("Sequence") => {
            let parts = part.get("pretokenizers").and_then(Value::as_array);
            let mut parts = parts.into_iter().flatten();
            parts.try_for_each(|part| cutter(file, part, pipeline))
        }
        Some("WhitespaceSplit") if !pipeline.has_metaspace => {
            pipeline.splits_first = true;
            Ok(())
        }
        Some("Metaspace") => {
            let is_usual = part.get("replacement") == Some(&SPACE.into())
                && part.get("split") != Some(&false.into())
                && part.get("add_prefix_space") != Some(&false.into());
            let scheme = part.get("prepend_scheme").and_then(Value::as_str);
            match scheme.unwrap_or("always") {
                "always" if is_usual => {}
                "first" if is_usual && !pipeline.splits_first => pipeline.first_only = true,
                _ => return Err(file.unsupported(format!("the pre-tokenizer {part}"))),
            }
            pipeline.has_metaspace = true;
            Ok(())
        }
        kind => Err(file.unsupported(format!("the pre-tokenizer {}", kind.unwrap_or("none")))),
    }
}
