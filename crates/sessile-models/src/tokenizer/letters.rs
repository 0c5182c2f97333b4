//! A token per residue: alone, as the ModernProst models read proteins, or between special tokens.

use std::path::Path;

use super::file::{AddedToken, Template, TokenizerFile};
use super::{Encoding, Preprocessing};
use crate::error::{ModelError, ModelErrorKind};
use crate::small_file;

/// The residues that every vocabulary of proteins has.
const STANDARD: &[u8; 20] = b"ACDEFGHIKLMNPQRSTVWY";

/// Largest `vocab.txt` that is read, in bytes.
const MOST_VOCABULARY_BYTES: u64 = 1 << 20;

/// Names of the token of what is unknown, where the file does not say.
const UNKNOWN: [&str; 2] = ["<unk>", "[UNK]"];

/// What stands around and between the letters.
#[derive(Clone, Debug, Default)]
pub(super) struct Surroundings {
    /// Tokens that are cut out before letters are looked up.
    pub(super) words: Vec<AddedToken>,
    /// Tokens around every sequence.
    pub(super) template: Template,
    /// The token that hides another.
    pub(super) mask: Option<u32>,
}

/// A tokenizer of single letters.
#[derive(Clone, Debug)]
pub struct LetterTokenizer {
    ids: [Option<u32>; 256],
    unknown: Option<u32>,
    preprocessing: Preprocessing,
    surroundings: Surroundings,
    len: usize,
}

impl LetterTokenizer {
    /// Reads the vocabulary of `tokenizer.json`, or of `vocab.txt` where there is no such file.
    /// Special tokens are not added: the models are used without.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unreadable`, `Malformed`, or `Unsupported` when a standard residue has no token
    /// of its own.
    pub fn from_directory(
        directory: &Path,
        preprocessing: Preprocessing,
    ) -> Result<Self, ModelError> {
        let json = directory.join("tokenizer.json");
        let text = directory.join("vocab.txt");
        if json.symlink_metadata().is_ok() || text.symlink_metadata().is_err() {
            let file = TokenizerFile::open(&json)?;
            file.check_letters()?;
            let unknown = file
                .model()
                .get("unk_token")
                .and_then(|token| token.as_str());
            let added = file.added()?;
            // Such a token would be cut out of proteins before the letters are looked up.
            let is_letters = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphabetic());
            let mut long = added.iter().map(|token| token.content.as_str());
            if let Some(token) = long.find(|text| text.len() > 1 && is_letters(text)) {
                return Err(
                    file.unsupported(format!("the added token `{token}` of several residues"))
                );
            }
            let vocabulary = file.vocabulary()?;
            let added = added.iter().map(|token| (token.content.as_str(), token.id));
            let tokens = vocabulary.into_iter().chain(added);
            LetterTokenizer::new(&json, tokens, unknown, preprocessing)
        } else {
            let lines = small_file::text(&text, MOST_VOCABULARY_BYTES)?;
            let tokens = lines.lines().map(str::trim).zip(0..);
            LetterTokenizer::new(&text, tokens, None, preprocessing)
        }
    }

    /// The vocabulary that the code of the first ModernProst has in itself, where no file holds it.
    pub(crate) fn of_first_modernprost(preprocessing: Preprocessing) -> Self {
        let letters = b"ALGVSREDTIPKFQNYMHWCXBOUZ";
        let mut ids = [None; 256];
        // Before them are <pad>, </s> and <unk>.
        for (id, &letter) in (3..).zip(letters) {
            ids[usize::from(letter)] = Some(id);
        }
        LetterTokenizer {
            ids,
            unknown: Some(2),
            preprocessing,
            surroundings: Surroundings::default(),
            len: 3 + letters.len(),
        }
    }

    fn new<'t>(
        path: &Path,
        tokens: impl Iterator<Item = (&'t str, u32)>,
        unknown: Option<&str>,
        preprocessing: Preprocessing,
    ) -> Result<Self, ModelError> {
        let known: Vec<_> = tokens.collect();
        let is_unknown =
            |token: &str| unknown.map_or(UNKNOWN.contains(&token), |unknown| unknown == token);
        let unknown = known.iter().rfind(|(token, _)| is_unknown(token));
        let unknown = unknown.map(|&(_, id)| id);
        let none = Surroundings::default();
        LetterTokenizer::with(path, known.into_iter(), unknown, preprocessing, none)
    }

    /// A vocabulary with what stands around and between its letters.
    pub(super) fn with<'t>(
        path: &Path,
        tokens: impl Iterator<Item = (&'t str, u32)>,
        unknown: Option<u32>,
        preprocessing: Preprocessing,
        mut surroundings: Surroundings,
    ) -> Result<Self, ModelError> {
        let words = &mut surroundings.words;
        words.sort_by_key(|token| std::cmp::Reverse(token.content.len()));
        let largest = words.iter().map(|token| token.id as usize + 1).max();
        let mut tokenizer = LetterTokenizer {
            ids: [None; 256],
            unknown,
            preprocessing,
            surroundings,
            len: largest.unwrap_or(0),
        };
        for (token, id) in tokens {
            tokenizer.len = tokenizer.len.max(id as usize + 1);
            // Sentencepiece writes a residue with the space before it.
            if let [letter] = token.strip_prefix('\u{2581}').unwrap_or(token).as_bytes() {
                tokenizer.ids[usize::from(*letter)].get_or_insert(id);
            }
        }
        match STANDARD
            .iter()
            .find(|&&residue| tokenizer.ids[usize::from(residue)].is_none())
        {
            None => Ok(tokenizer),
            Some(missing) => Err(ModelError::new(
                ModelErrorKind::Unsupported,
                format!(
                    "{}: there is no token for the residue {}",
                    path.display(),
                    char::from(*missing)
                ),
            )
            .with_hint("only tokenizers with a token for each residue are supported here")),
        }
    }

    /// Ids are below this number.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the vocabulary is empty; it never is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is done to residues.
    pub fn preprocessing(&self) -> Preprocessing {
        self.preprocessing
    }

    /// Encodes a protein, a token per residue.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::tokenizer::{LetterTokenizer, Preprocessing};
    ///
    /// # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");
    /// let folder = format!("{golden}/modernbert/tc20");
    /// let tokenizer = LetterTokenizer::from_directory(folder.as_ref(), Preprocessing::Standard)?;
    /// assert_eq!(tokenizer.encode(b"MSU").tokens, [21, 9, 25]);
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn encode(&self, residues: &[u8]) -> Encoding {
        let Template { before, after } = &self.surroundings.template;
        let mut tokens = Vec::with_capacity(before.len() + residues.len() + after.len());
        tokens.extend_from_slice(before);
        let (mut unknown, mut at) = (None, 0);
        while let Some(&residue) = residues.get(at) {
            if let Some(word) = self.word_at(&residues[at..]) {
                tokens.push(word.id);
                at += word.content.len();
                continue;
            }
            let letter = self.preprocessing.residue(residue);
            // A vocabulary without X may have the letter itself.
            let id = self.ids[usize::from(letter)]
                .or(self.ids[usize::from(residue.to_ascii_uppercase())]);
            if id.is_none() {
                unknown = unknown.or(Some((at, residue)));
            }
            // Without a token for the unknown, the first one stands for it; the answer says so.
            tokens.push(id.or(self.unknown).unwrap_or(0));
            at += 1;
        }
        tokens.extend_from_slice(after);
        Encoding { tokens, unknown }
    }

    /// The special token that a text starts with.
    fn word_at(&self, text: &[u8]) -> Option<&AddedToken> {
        if !matches!(text.first(), Some(b'[' | b'<')) {
            return None;
        }
        let mut words = self.surroundings.words.iter();
        words.find(|word| text.starts_with(word.content.as_bytes()))
    }

    /// Special tokens before and after every protein.
    pub fn special_tokens(&self) -> (usize, usize) {
        let Template { before, after } = &self.surroundings.template;
        (before.len(), after.len())
    }

    /// The token that hides another, where there is one.
    pub fn mask(&self) -> Option<u32> {
        self.surroundings.mask
    }
}
