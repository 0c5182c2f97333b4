//! Sequences to vectors, in one block of memory.

use std::ops::Range;

use sessile_device::{HostTensor, Output, OutputKind, OutputSet};
use sessile_pipelines::embed::{Asked, Asking, Long};
use sessile_pipelines::output::OutputName;

use crate::error::{Error, ErrorKind};
use crate::open::{Reader, Sessile};
use crate::watch::Watch;

/// Which vector stands for a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The mean over its residues.
    #[default]
    Mean,
    /// The mean over all its tokens, special ones too.
    MeanAll,
    /// The vector of the first token, `<cls>`.
    Cls,
    /// None: there is a vector for every residue.
    PerResidue,
}

impl Pooling {
    /// All choices.
    pub const ALL: [Pooling; 4] = [
        Pooling::Mean,
        Pooling::MeanAll,
        Pooling::Cls,
        Pooling::PerResidue,
    ];

    /// Its name, that of the output of `sessile embed`.
    pub const fn name(self) -> &'static str {
        self.output().name()
    }

    const fn output(self) -> OutputName {
        match self {
            Pooling::Mean => OutputName::Mean,
            Pooling::MeanAll => OutputName::MeanAll,
            Pooling::Cls => OutputName::Cls,
            Pooling::PerResidue => OutputName::PerResidue,
        }
    }
}

impl std::str::FromStr for Pooling {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Pooling::ALL
            .into_iter()
            .find(|pooling| pooling.name() == text)
            .ok_or_else(|| format!("unknown pooling `{text}` (mean, mean_all, cls or per_residue)"))
    }
}

/// How sequences are embedded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Embed {
    /// Which vector stands for a sequence.
    pub pooling: Pooling,
    /// The layer whose vectors are taken, 0 for the embeddings before the first; `None`: the last.
    pub layer: Option<usize>,
    /// What becomes of sequences longer than the model was made for.
    pub long: Long,
    /// Whether sequences that fail are listed in [`Embeddings::failures`] and the others go on;
    /// else the first of them ends the call.
    pub keep_going: bool,
}

/// The vectors of sequences, in their order, as rows of one block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    dimension: usize,
    values: Vec<f32>,
    /// Rows of each sequence.
    rows: Vec<Range<usize>>,
    sequences: Vec<usize>,
    failures: Vec<Failure>,
}

/// A sequence without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its place among those of the call, from 0.
    pub record: usize,
    /// Why.
    pub reason: String,
}

impl Embeddings {
    /// Sequences that have a result.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no result.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Numbers of a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The vector of the result at `index`, or with [`Pooling::PerResidue`] those of its residues,
    /// one after the other.
    ///
    /// # Panics
    ///
    /// When there are not so many results.
    pub fn vector(&self, index: usize) -> &[f32] {
        let rows = &self.rows[index];
        &self.values[rows.start * self.dimension..rows.end * self.dimension]
    }

    /// All vectors, one after the other: a matrix of [`dimension`](Self::dimension) columns.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The same without a copy.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The rows of the matrix that belong to each result: one, or one for each residue.
    pub fn rows(&self) -> &[Range<usize>] {
        &self.rows
    }

    /// The place of each result's sequence among those of the call, from 0.
    pub fn sequences(&self) -> &[usize] {
        &self.sequences
    }

    /// Sequences without a result; always empty unless [`Embed::keep_going`] is set.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    fn push(&mut self, sequence: usize, values: &[f32]) {
        let first = self.rows.last().map_or(0, |rows| rows.end);
        let count = values.len() / self.dimension.max(1);
        self.values.extend_from_slice(values);
        self.rows.push(first..first + count);
        self.sequences.push(sequence);
    }
}

impl Sessile {
    /// The mean vector of every sequence, in their order. Letters may be of either case; a `*` at
    /// the end is the stop of a translation and no residue.
    ///
    /// # Errors
    ///
    /// When a sequence is empty, has letters that are no residues or is longer than the model was
    /// made for, and when no device is left.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::Sessile;
    ///
    /// let model = Sessile::open("demo")?;
    /// let vectors = model.embed(&["MKTAYIAKQR", "GASP", "MKTAYIAKQR"])?;
    /// assert_eq!(vectors.len(), 3);
    /// assert_eq!(vectors.vector(0), vectors.vector(2));
    ///
    /// let error = model.embed(&["MKV", "MK7"]).unwrap_err();
    /// assert_eq!(error.record(), Some(1));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn embed<S: AsRef<[u8]>>(&self, sequences: &[S]) -> Result<Embeddings, Error> {
        self.embed_with(sequences, &Embed::default(), &Watch::default())
    }

    /// The same with settings, watched from another thread.
    ///
    /// # Errors
    ///
    /// As [`embed`](Self::embed), unless [`Embed::keep_going`] is set; when the model does not
    /// have the layer; `Interrupted` when the call is stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::{Embed, Pooling, Sessile, Watch};
    ///
    /// let model = Sessile::open("demo")?;
    /// let residues = Embed { pooling: Pooling::PerResidue, keep_going: true, ..Embed::default() };
    /// let vectors = model.embed_with(&["MKV", "", "GASP"], &residues, &Watch::default())?;
    /// assert_eq!(vectors.rows(), [0..3, 3..7]);
    /// assert_eq!(vectors.sequences(), [0, 2]);
    /// assert_eq!(vectors.failures()[0].reason, "the record has no residues");
    ///
    /// let third = Embed { layer: Some(3), ..Embed::default() };
    /// assert_eq!(model.embed_with(&["MKV"], &third, &Watch::default())?.dimension(), 128);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn embed_with<S: AsRef<[u8]>>(
        &self,
        sequences: &[S],
        settings: &Embed,
        watch: &Watch,
    ) -> Result<Embeddings, Error> {
        let taking = Taking::new(self, settings)?;
        let reader = self.reader(&[taking.kind])?;
        let asking = reader.asking(taking.kind, settings.long);
        let dimension = reader.info.hidden;
        let letters = |sequence: &S| sequence.as_ref().len();
        let rows = match settings.pooling {
            Pooling::PerResidue => sequences.iter().map(letters).sum(),
            _ => sequences.len(),
        };
        let mut found = Embeddings {
            dimension,
            rows: Vec::with_capacity(sequences.len()),
            sequences: Vec::with_capacity(sequences.len()),
            ..Embeddings::default()
        };
        // Room for all of it at once: a block that grows is copied, and is there twice meanwhile.
        let values = rows.saturating_mul(dimension);
        found.values.try_reserve_exact(values).map_err(|_| {
            let gigabytes = values as f64 * 4.0 / 1e9;
            let message = format!("there is no memory for {gigabytes:.1} GB of vectors");
            Error::new(ErrorKind::Usage, message).with_hint("embed fewer sequences at a time")
        })?;

        let sequences = sequences.iter().map(AsRef::as_ref);
        reader.ask_each(sequences, &asking, watch, |record, answered| {
            let vector = answered.and_then(|(asked, answers)| {
                let vector = taking.vector(reader, &asked, answers);
                vector.ok_or_else(|| no_output(record, settings.pooling))
            });
            match vector {
                Ok(vector) => found.push(record, &vector.data),
                Err(error) if settings.keep_going && error.kind() == ErrorKind::Record => {
                    found.failures.push(Failure {
                        record,
                        reason: error.to_string(),
                    });
                }
                Err(error) => return Err(error),
            }
            Ok(())
        })?;
        Ok(found)
    }
}

fn no_output(record: usize, pooling: Pooling) -> Error {
    let name = pooling.name();
    Error::of_record(
        record,
        format!("the model gave no `{name}` for the sequence"),
    )
}

/// What is taken of an answer.
struct Taking {
    kind: OutputKind,
    pooling: Pooling,
    /// The layer, of answers that have them all.
    layer: Option<usize>,
}

impl Taking {
    fn new(model: &Sessile, settings: &Embed) -> Result<Self, Error> {
        let layers = model.reader(&[])?.info.layers;
        let layer = match settings.layer {
            None => None,
            Some(layer) if layer == layers => None,
            Some(layer) if layer > layers => {
                let message = format!("{} has {layers} layers, not {layer}", model.name());
                return Err(Error::new(ErrorKind::Usage, message));
            }
            Some(_) if settings.long == Long::Windows => {
                let message = "windows of long sequences have the vectors of the last layer only";
                return Err(Error::new(ErrorKind::Usage, message)
                    .with_hint("leave out the layer, or let long sequences fail"));
            }
            some => some,
        };
        let kind = match layer {
            Some(_) => OutputKind::HiddenStates,
            None => settings.pooling.output().kinds()[0],
        };
        Ok(Taking {
            kind,
            pooling: settings.pooling,
            layer,
        })
    }

    fn vector(
        &self,
        reader: &Reader,
        asked: &Asked,
        mut answers: Vec<Output>,
    ) -> Option<HostTensor> {
        if let Some(layer) = self.layer {
            let states = answers.first_mut()?.take(self.kind)?;
            return of_layer(reader, &states, layer, self.pooling);
        }
        if asked.has_windows() {
            return asked.tensor(self.pooling.output(), answers);
        }
        answers.first_mut()?.take(self.kind)
    }
}

/// A layer's vectors, `[layers + 1, tokens, hidden]` being all of them.
fn of_layer(
    reader: &Reader,
    states: &HostTensor,
    layer: usize,
    pooling: Pooling,
) -> Option<HostTensor> {
    let &[_, tokens, hidden] = &states.shape[..] else {
        return None;
    };
    let size = tokens * hidden;
    let values = states.data.get(layer * size..(layer + 1) * size)?;
    let leading = reader.info.leading_tokens;
    let trailing = reader.info.special_tokens - leading;
    let residues = leading..tokens.checked_sub(trailing)?;
    let (rows, is_mean) = match pooling {
        Pooling::Mean => (residues, true),
        Pooling::MeanAll => (0..tokens, true),
        Pooling::Cls => (0..1, false),
        Pooling::PerResidue => (residues, false),
    };
    let count = rows.len();
    let rows = values.get(rows.start * hidden..rows.end * hidden)?;
    if !is_mean {
        return Some(HostTensor::new(vec![count, hidden], rows.to_vec()));
    }
    let mut sums = vec![0.0_f64; hidden];
    for row in rows.chunks_exact(hidden) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    let mean = sums.iter().map(|sum| (sum / count as f64) as f32);
    Some(HostTensor::new(vec![hidden], mean.collect()))
}

impl Reader {
    /// How sequences are asked for one output.
    pub(crate) fn asking(&self, kind: OutputKind, long: Long) -> Asking {
        let outputs = OutputSet::default().with(kind);
        Asking::new(self.tokenizer.clone(), &self.info, outputs, long, "`long`")
    }

    /// Asks for every sequence and hands out what is answered, in their order, until `take` fails
    /// or the call is stopped. The lanes are kept busy, and memory does not grow with the number
    /// of sequences.
    pub(crate) fn ask_each<'s>(
        &self,
        sequences: impl Iterator<Item = &'s [u8]>,
        asking: &Asking,
        watch: &Watch,
        mut take: impl FnMut(usize, Result<(Asked, Vec<Output>), Error>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // The last request of a sequence brings the sequence.
        let requests =
            sequences
                .enumerate()
                .flat_map(|(record, sequence)| match asking.ask(sequence) {
                    Ok(mut asked) => {
                        let mut requests = std::mem::take(&mut asked.requests);
                        let last = requests.pop();
                        let mut steps: Vec<_> = (requests.into_iter())
                            .map(|request| (None, Some(request)))
                            .collect();
                        steps.push((Some((record, Ok(asked))), last));
                        steps
                    }
                    Err(reason) => vec![(Some((record, Err(reason))), None)],
                });
        let mut answers = Vec::new();
        for (step, answer) in self.pool.in_order(requests).until(watch.flag()) {
            answers.extend(answer);
            let Some((record, asked)) = step else {
                continue;
            };
            let answers: Result<Vec<Output>, _> = answers.drain(..).collect();
            let answered = match asked {
                Ok(asked) => answers
                    .map(|answers| (asked, answers))
                    .map_err(|error| Error::of_request(record, error)),
                Err(reason) => Err(Error::of_record(record, reason)),
            };
            take(record, answered)?;
            watch.advance();
        }
        match watch.is_stopped() {
            true => Err(Error::interrupted()),
            false => Ok(()),
        }
    }
}
