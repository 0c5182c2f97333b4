//! The tokenizer of BERT from the files of a checkpoint: `tokenizer.json`, or `vocab.txt`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Normal, WordPieceTokenizer};
use crate::error::{ModelError, ModelErrorKind};
use crate::small_file;
use crate::tokenizer::beside::Beside;
use crate::tokenizer::file::{AddedToken, Template, TokenizerFile};
use crate::tokenizer::letters::Surroundings;
use crate::tokenizer::{LetterTokenizer, Preprocessing};

/// Largest `vocab.txt` that is read, in bytes: that of a hundred thousand words has a megabyte.
const MAX_VOCABULARY_BYTES: u64 = 64 << 20;

/// What marks a piece that continues a word.
const MARK: &str = "##";

/// A word of more characters is unknown.
const MOST_CHARACTERS: usize = 100;

/// The class of transformers that reads these files.
const CLASSES: [&str; 1] = ["BertTokenizer"];

/// Tokens with a meaning of their own, by what they are called in the files beside.
const SPECIAL: [(&str, &str); 5] = [
    ("cls_token", "[CLS]"),
    ("sep_token", "[SEP]"),
    ("unk_token", "[UNK]"),
    ("pad_token", "[PAD]"),
    ("mask_token", "[MASK]"),
];

/// The files of a tokenizer of BERT, put together.
pub(super) struct Vocabulary {
    path: PathBuf,
    tokens: Vec<(String, u32)>,
    added: Vec<AddedToken>,
    template: Template,
    unknown: u32,
    mask: Option<u32>,
    most_characters: usize,
    normal: Normal,
    /// Whether a file says that text becomes lower case.
    says_lower: bool,
}

impl Vocabulary {
    pub(super) fn read(directory: &Path) -> Result<Self, ModelError> {
        let json = directory.join("tokenizer.json");
        let text = directory.join("vocab.txt");
        let beside = Beside::read(directory)?;
        beside.check_class(&CLASSES)?;
        let lines = match text.symlink_metadata() {
            Ok(_) => Some(small_file::text(&text, MAX_VOCABULARY_BYTES)?),
            Err(_) => None,
        };
        let lines = lines.as_deref().map(|lines| {
            let lines = lines.lines().map(|line| line.trim_end_matches('\r'));
            lines.map(str::to_owned).zip(0..).collect::<Vec<_>>()
        });
        if json.symlink_metadata().is_ok() {
            let file = TokenizerFile::open(&json)?;
            let mut found = Vocabulary::of_json(&file, json)?;
            if !file.beside.is_generic() {
                found.set(&beside)?;
            }
            if let Some(lines) = lines {
                found.check_equal(&text, &lines)?;
            }
            return Ok(found);
        }
        let tokens = lines.ok_or_else(|| {
            ModelError::new(
                ModelErrorKind::NotFound,
                format!("{}: there is no vocabulary", directory.display()),
            )
            .with_hint("BERT has vocab.txt or tokenizer.json")
        })?;
        let mut found = Vocabulary {
            path: text,
            tokens,
            added: beside.added()?,
            template: Template::default(),
            unknown: 0,
            mask: None,
            most_characters: MOST_CHARACTERS,
            normal: Normal {
                cleans: true,
                lower: true,
                strips: true,
                cuts_chinese: true,
            },
            says_lower: false,
        };
        found.set(&beside)?;
        Ok(found)
    }

    fn of_json(file: &TokenizerFile, path: PathBuf) -> Result<Self, ModelError> {
        let kind = TokenizerFile::kind(file.model());
        let model = file.model();
        let mark = model.get("continuing_subword_prefix");
        // Files from before the kind was written have the mark.
        if kind.unwrap_or("WordPiece") != "WordPiece"
            || mark.and_then(Value::as_str).unwrap_or(MARK) != MARK
        {
            let kind = kind.unwrap_or("of no kind");
            return Err(file.unsupported(format!(
                "a tokenizer {kind} where WordPiece with `{MARK}` is expected"
            )));
        }
        let cutter = file.get("pre_tokenizer");
        if TokenizerFile::kind(cutter) != Some("BertPreTokenizer") {
            let other = TokenizerFile::kind(cutter).unwrap_or("none");
            return Err(file.unsupported(format!("the pre-tokenizer {other}")));
        }
        let normal = normal(file, file.get("normalizer"))?;
        let tokens: Vec<_> = file
            .vocabulary()?
            .into_iter()
            .map(|(token, id)| (token.to_owned(), id))
            .collect();
        let id = |name: &str| tokens.iter().find(|(token, _)| token == name);
        let unknown = model.get("unk_token").and_then(Value::as_str);
        let unknown = unknown.unwrap_or("[UNK]");
        let Some(&(_, unknown)) = id(unknown) else {
            return Err(file.malformed(format!("the vocabulary has no `{unknown}`")));
        };
        let most = model
            .get("max_input_chars_per_word")
            .and_then(Value::as_u64);
        Ok(Vocabulary {
            path,
            unknown,
            mask: id("[MASK]").map(|&(_, id)| id),
            added: file.added()?,
            template: file.template()?,
            most_characters: most.map_or(MOST_CHARACTERS, |most| most as usize),
            normal,
            says_lower: normal.lower,
            tokens,
        })
    }

    /// Applies what the class of transformers does beyond `tokenizer.json`.
    fn set(&mut self, beside: &Beside) -> Result<(), ModelError> {
        let flag = |key: &str| beside.flag(key);
        let lower = flag("do_lower_case")?;
        self.says_lower = lower == Some(true);
        self.normal = Normal {
            cleans: true,
            lower: lower.unwrap_or(true),
            strips: flag("strip_accents")?.or(lower).unwrap_or(true),
            cuts_chinese: flag("tokenize_chinese_chars")?.unwrap_or(true),
        };
        let mut ids = [None; SPECIAL.len()];
        for ((key, usual), place) in SPECIAL.into_iter().zip(&mut ids) {
            let token = beside.special(key);
            let token = token.unwrap_or_else(|| AddedToken::plain(usual, 0));
            let of_vocabulary = self.tokens.iter().rfind(|(text, _)| *text == token.content);
            let of_added = self
                .added
                .iter()
                .find(|other| other.content == token.content);
            *place = of_vocabulary
                .map(|&(_, id)| id)
                .or(of_added.map(|token| token.id));
            if let (Some(id), None) = (*place, of_added) {
                self.added.push(AddedToken { id, ..token });
            }
        }
        let missing =
            |name: &str| small_file::malformed(&self.path, format!("the vocabulary has no {name}"));
        let [cls, sep, unknown, _, mask] = ids;
        self.template = Template {
            before: vec![cls.ok_or_else(|| missing("cls_token"))?],
            after: vec![sep.ok_or_else(|| missing("sep_token"))?],
        };
        self.unknown = unknown.ok_or_else(|| missing("unk_token"))?;
        self.mask = mask;
        Ok(())
    }

    fn check_equal(&self, path: &Path, lines: &[(String, u32)]) -> Result<(), ModelError> {
        let ids: HashMap<&str, u32> = self
            .tokens
            .iter()
            .map(|(token, id)| (token.as_str(), *id))
            .collect();
        let other = lines
            .iter()
            .find(|(token, id)| ids.get(token.as_str()).is_some_and(|other| other != id));
        match other {
            None => Ok(()),
            Some((token, id)) => Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "{}: `{token}` has the id {id}, and {} in tokenizer.json",
                    path.display(),
                    ids[token.as_str()]
                ),
            )
            .with_hint("remove the file that does not belong to the weights")),
        }
    }

    fn is_special(&self, token: &str) -> bool {
        let is_bracketed = token.starts_with('[') && token.ends_with(']') && token.len() > 2;
        is_bracketed || self.added.iter().any(|added| added.content == token)
    }

    /// Whether every token but the special ones is a single letter in upper case.
    pub(super) fn has_letters_alone(&self) -> bool {
        self.tokens.iter().all(|(token, _)| {
            matches!(token.as_bytes(), [b'A'..=b'Z']) || token.is_empty() || self.is_special(token)
        })
    }

    /// The tokenizer of a vocabulary of residues.
    pub(super) fn letters(
        self,
        preprocessing: Preprocessing,
    ) -> Result<LetterTokenizer, ModelError> {
        if self.says_lower {
            return Err(ModelError::new(
                ModelErrorKind::Unsupported,
                format!(
                    "{}: do_lower_case with a vocabulary of residues in upper case",
                    self.path.display()
                ),
            )
            .with_hint("set do_lower_case to false in tokenizer_config.json"));
        }
        let unknown = self.unknown;
        let tokens = self.tokens.iter().map(|(token, id)| (token.as_str(), *id));
        let surroundings = Surroundings {
            words: self.added,
            template: self.template,
            mask: self.mask,
        };
        LetterTokenizer::with(
            &self.path,
            tokens,
            Some(unknown),
            preprocessing,
            surroundings,
        )
    }

    /// The tokenizer of a vocabulary of words.
    pub(super) fn word_pieces(self) -> Result<WordPieceTokenizer, ModelError> {
        let refused = |what: String| {
            ModelError::new(
                ModelErrorKind::Unsupported,
                format!("{}: {what} is not supported", self.path.display()),
            )
        };
        let is_plain =
            |token: &&AddedToken| token.is_special && token.content.starts_with(['[', '<']);
        if let Some(token) = self.added.iter().find(|token| !is_plain(token)) {
            return Err(refused(format!("the added token `{}`", token.content)));
        }
        let (mut first, mut further) = (HashMap::new(), HashMap::new());
        let (mut longest, mut len) = (1, 0);
        for (token, id) in &self.tokens {
            len = len.max(*id as usize + 1);
            let (pieces, text) = match token.strip_prefix(MARK) {
                Some(text) if !text.is_empty() => (&mut further, text),
                _ => (&mut first, token.as_str()),
            };
            longest = longest.max(text.len());
            pieces.insert(Box::from(text), *id);
        }
        let largest = self.added.iter().map(|token| token.id as usize + 1).max();
        let mut added = self.added;
        added.sort_by_key(|token| std::cmp::Reverse(token.content.len()));
        Ok(WordPieceTokenizer {
            first,
            further,
            longest,
            unknown: self.unknown,
            most_characters: self.most_characters,
            normal: self.normal,
            added,
            template: self.template,
            mask: self.mask,
            len: len.max(largest.unwrap_or(0)),
        })
    }
}

/// What a `BertNormalizer` does.
fn normal(file: &TokenizerFile, part: &Value) -> Result<Normal, ModelError> {
    if TokenizerFile::kind(part) != Some("BertNormalizer") {
        let other = TokenizerFile::kind(part).unwrap_or("none");
        return Err(file.unsupported(format!("the normalizer {other}")));
    }
    let flag = |key: &str| part.get(key).and_then(Value::as_bool);
    let lower = flag("lowercase").unwrap_or(true);
    Ok(Normal {
        cleans: flag("clean_text").unwrap_or(true),
        lower,
        strips: flag("strip_accents").unwrap_or(lower),
        cuts_chinese: flag("handle_chinese_chars").unwrap_or(true),
    })
}
