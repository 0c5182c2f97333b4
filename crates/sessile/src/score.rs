//! What a language model says of one sequence: scores of letters, contacts, likelihoods, mutations.

use sessile_device::{HostTensor, ModelIndex, OutputKind, OutputSet};
use sessile_models::marginals::{Marginals, RESIDUES};
use sessile_models::tokenizer::Tokenizer;
use sessile_pipelines::embed::Long;
use sessile_runtime::PoolRequest;

use crate::error::{Error, ErrorKind};
use crate::open::Sessile;
use crate::watch::Watch;

/// How log-probabilities are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// Every residue is hidden in turn: a pass for each.
    #[default]
    Masked,
    /// One pass, nothing hidden.
    Unmasked,
}

impl std::str::FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "masked" => Ok(Method::Masked),
            "unmasked" => Ok(Method::Unmasked),
            other => Err(format!("unknown method `{other}` (masked or unmasked)")),
        }
    }
}

/// How likely a sequence is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// Natural logarithm of the probability of each residue.
    pub log_probabilities: Vec<f32>,
    /// Their sum.
    pub log_likelihood: f64,
    /// exp of minus their mean (Salazar et al., 2020, arXiv:1910.14659): 1 is certain.
    pub pseudo_perplexity: f64,
}

impl Sessile {
    /// Scores over the vocabulary for every token, special ones too: `[tokens, vocabulary]`.
    ///
    /// # Errors
    ///
    /// When the model has no language head, and what is wrong with the sequence.
    ///
    /// # Examples
    ///
    /// ```
    /// let model = sessile::Sessile::open("demo")?;
    /// let logits = model.logits("GASP", &sessile::Watch::default())?;
    /// assert_eq!(logits.shape, [6, 33]);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn logits(&self, sequence: impl AsRef<[u8]>, watch: &Watch) -> Result<HostTensor, Error> {
        self.one(sequence.as_ref(), OutputKind::Logits, watch)
    }

    /// The probability that two residues touch, for every pair of them: `[residues, residues]`.
    ///
    /// # Errors
    ///
    /// When the model has no contact head, and what is wrong with the sequence.
    ///
    /// # Examples
    ///
    /// ```
    /// let model = sessile::Sessile::open("demo")?;
    /// let contacts = model.contacts("GASP", &sessile::Watch::default())?;
    /// assert_eq!(contacts.shape, [4, 4]);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn contacts(&self, sequence: impl AsRef<[u8]>, watch: &Watch) -> Result<HostTensor, Error> {
        self.one(sequence.as_ref(), OutputKind::Contacts, watch)
    }

    /// How likely the model finds a sequence.
    ///
    /// # Errors
    ///
    /// When the model has no language head, and what is wrong with the sequence.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::{Method, Sessile, Watch};
    ///
    /// let model = Sessile::open("demo")?;
    /// let score = model.score("MKTAYIAKQR", Method::Masked, &Watch::default())?;
    /// assert_eq!(score.log_probabilities.len(), 10);
    /// assert!(score.pseudo_perplexity > 1.0);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn score(
        &self,
        sequence: impl AsRef<[u8]>,
        method: Method,
        watch: &Watch,
    ) -> Result<Score, Error> {
        let kind = match method {
            Method::Masked => OutputKind::MaskedLogprob,
            Method::Unmasked => OutputKind::UnmaskedLogprob,
        };
        let marginals = Marginals {
            log_probabilities: self.one(sequence.as_ref(), kind, watch)?.data,
            ..Marginals::default()
        };
        Ok(Score {
            log_likelihood: marginals.log_likelihood(),
            pseudo_perplexity: marginals.pseudo_perplexity(),
            log_probabilities: marginals.log_probabilities,
        })
    }

    /// What every single mutation changes: a row for each residue of the sequence, a column for
    /// each of [`RESIDUES`], and in it the log-probability of the column's residue less that of the
    /// sequence's own (Meier et al., 2021). `[residues, 20]`.
    ///
    /// # Errors
    ///
    /// When the model is no language model of proteins, and what is wrong with the sequence.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::{Method, RESIDUES, Sessile, Watch};
    ///
    /// let model = Sessile::open("demo")?;
    /// let scan = model.mutational_scan("MKV", Method::Masked, &Watch::default())?;
    /// assert_eq!(scan.shape, [3, 20]);
    /// // A residue instead of itself changes nothing.
    /// let lysine = RESIDUES.find('K').unwrap();
    /// assert_eq!(scan.data[20 + lysine], 0.0);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn mutational_scan(
        &self,
        sequence: impl AsRef<[u8]>,
        method: Method,
        watch: &Watch,
    ) -> Result<HostTensor, Error> {
        let reader = self.reader(&[OutputKind::Logits])?;
        let not_proteins = || {
            let message = format!("{} is no language model of proteins", self.name());
            Error::new(ErrorKind::Usage, message).with_hint("use an ESM-2 model")
        };
        let Tokenizer::Esm(tokenizer) = &reader.tokenizer else {
            return Err(not_proteins());
        };
        let columns = RESIDUES
            .bytes()
            .map(|residue| tokenizer.letter(residue).map(|id| id as usize))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(not_proteins)?;
        let asking = reader.asking(OutputKind::Logits, Long::Fail);
        let asked = asking.ask(sequence.as_ref());
        let mut asked = asked.map_err(|reason| Error::of_record(0, reason))?;
        let Some(plain) = asked.requests.pop() else {
            return Err(Error::of_record(0, "the record has no residues"));
        };
        let leading = reader.info.leading_tokens;
        let trailing = reader.info.special_tokens - leading;
        let residues = leading..plain.tokens.len() - trailing;
        let mask = tokenizer.special().mask;
        let tokens = plain.tokens;
        if tokens[residues.clone()].contains(&mask) {
            return Err(Error::of_record(0, "`<mask>` has no score; give a residue"));
        }

        // Each request with the positions that are read from its answer.
        let passes: Vec<_> = match method {
            Method::Masked => residues.clone().map(|at| at..at + 1).collect(),
            Method::Unmasked => vec![residues.clone()],
        };
        let requests = passes.into_iter().map(|positions| {
            let mut tokens = tokens.clone();
            if method == Method::Masked {
                tokens[positions.start] = mask;
            }
            let outputs = OutputSet::default().with(OutputKind::Logits);
            let request = PoolRequest::new(ModelIndex(0), tokens, outputs);
            (positions, Some(request))
        });
        let mut marginals = Marginals::default();
        for (positions, answer) in reader.pool.in_order(requests).until(watch.flag()) {
            let answer = answer
                .transpose()
                .map_err(|error| Error::of_request(0, error))?;
            let logits = answer.and_then(|mut answer| answer.take(OutputKind::Logits));
            let logits = logits.ok_or_else(|| Error::of_record(0, "the model gave no `logits`"))?;
            for at in positions {
                let row = logits.data.chunks_exact(reader.info.vocabulary).nth(at);
                let truth = tokens[at] as usize;
                marginals.push(row.unwrap_or_default(), truth, &columns, true);
            }
            watch.advance();
        }
        if watch.is_stopped() {
            return Err(Error::interrupted());
        }
        let values = marginals.mutants.concat();
        Ok(HostTensor::new(
            vec![residues.len(), RESIDUES.len()],
            values,
        ))
    }

    /// One output of one sequence, in the buffer that it was computed into.
    fn one(&self, sequence: &[u8], kind: OutputKind, watch: &Watch) -> Result<HostTensor, Error> {
        let reader = self.reader(&[kind])?;
        let asking = reader.asking(kind, Long::Fail);
        let mut found = None;
        reader.ask_each([sequence].into_iter(), &asking, watch, |_, answered| {
            let (_, mut answers) = answered?;
            found = answers.first_mut().and_then(|answer| answer.take(kind));
            Ok(())
        })?;
        found.ok_or_else(|| Error::of_record(0, "the model gave no answer"))
    }
}
