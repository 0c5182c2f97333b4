//! How ProstT5's decoder is asked for the states of a protein, and what is read from its answer.
//!
//! A translation has no natural length: the network was trained to write a state for each residue
//! and `</s>` after them, but nothing makes it. [`Translation`] fixes the length, in one of two
//! ways that go with what is done to the residues.

use std::sync::Arc;

use sessile_device::GenerationSettings;

use crate::tokenizer::{Preprocessing, ProstT5Tokenizer};

/// Characters of `<AA2fold>`, which genome_entropy counts to the length of a text.
const PREFIX_CHARACTERS: usize = 9;

/// Translation of residues into 3Di states.
///
/// Exact, unless the tokenizer works as genome_entropy: one state for each residue, nothing but the
/// 20 states may be written, and `</s>` is out of the question before the last of them. What is
/// written is what the network finds most probable under these rules.
///
/// As genome_entropy 0.1.10 (`ProstT5ThreeDiEncoder`): the text of a protein is the prefix and the
/// residues with spaces between them, and as many tokens are asked for as it has characters,
/// `9 + 2 × residues`, the start token included; what goes beyond the residues is cut off, and
/// anything may be written. `</s>` is hidden from the encoder and the decoder. Three beams, and
/// tokens that were there are penalised by 1.2. The original draws by chance without a seed, which
/// nobody can repeat; here the beams' best is taken. It also takes lengths from the shortest and
/// the longest protein of a batch; here from the protein alone.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use sessile_device::GenerationSettings;
/// use sessile_models::t5::Translation;
/// use sessile_models::tokenizer::{Preprocessing, ProstT5Tokenizer};
///
/// let length = |preprocessing| {
///     let tokenizer = Arc::new(ProstT5Tokenizer::published(preprocessing));
///     let defaults = Translation::defaults(preprocessing, &GenerationSettings::default());
///     Translation::new(tokenizer, defaults).settings(40).max_length
/// };
/// assert_eq!(length(Preprocessing::Standard), 41);
/// assert_eq!(length(Preprocessing::GenomeEntropy), 89);
/// ```
#[derive(Clone, Debug)]
pub struct Translation {
    tokenizer: Arc<ProstT5Tokenizer>,
    settings: GenerationSettings,
    states: Arc<[u32]>,
}

impl Translation {
    /// The settings that go with what is done to residues, over those of the model's files.
    pub fn defaults(
        preprocessing: Preprocessing,
        model: &GenerationSettings,
    ) -> GenerationSettings {
        match preprocessing {
            Preprocessing::GenomeEntropy => GenerationSettings {
                num_beams: 3,
                repetition_penalty: 1.2,
                do_sample: false,
                ..model.clone()
            },
            Preprocessing::Standard | Preprocessing::Phold => model.clone(),
        }
    }

    /// Translation with these settings; lengths follow from each protein.
    pub fn new(tokenizer: Arc<ProstT5Tokenizer>, settings: GenerationSettings) -> Self {
        Translation {
            states: tokenizer.state_tokens().into(),
            tokenizer,
            settings,
        }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &ProstT5Tokenizer {
        &self.tokenizer
    }

    fn is_exact(&self) -> bool {
        self.tokenizer.preprocessing() != Preprocessing::GenomeEntropy
    }

    /// The settings for a protein of so many residues.
    pub fn settings(&self, residues: usize) -> GenerationSettings {
        let tokens = if self.is_exact() {
            // The start token counts.
            residues + 1
        } else {
            PREFIX_CHARACTERS + 2 * residues
        };
        GenerationSettings {
            min_length: tokens,
            max_length: tokens,
            forced_bos_token: None,
            forced_eos_tokens: Vec::new(),
            allowed_tokens: self.is_exact().then(|| Arc::clone(&self.states)),
            ..self.settings.clone()
        }
    }

    /// The states in an answer for a protein of so many residues, in the letters that Foldseek
    /// reads. genome_entropy's rules may lead to fewer states than residues, or to other letters.
    pub fn states(&self, tokens: &[u32], residues: usize) -> String {
        let mut states = self.tokenizer.decode(tokens);
        states.truncate(residues.min(states.len()));
        states.make_ascii_uppercase();
        states
    }
}
