//! Texts in, texts out: what a program asks that knows nothing of tokens.

use std::sync::Arc;

use sessile_device::{
    GenerationSettings, ModelIndex, Output, OutputSet, RequestError, RequestErrorKind,
};
use sessile_models::ModelInfo;
use sessile_models::tokenizer::TextTokenizer;

use super::{Pool, PoolRequest};

/// A text that was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WrittenText {
    /// The text, without special tokens.
    pub text: String,
    /// Its tokens, special ones included.
    pub tokens: Vec<u32>,
    /// The score of beam search.
    pub score: Option<f32>,
}

/// A model of a pool that writes, for those who have texts.
#[derive(Clone, Copy)]
pub struct Texts<'p> {
    pool: &'p Pool,
    model: ModelIndex,
    info: &'p ModelInfo,
    tokenizer: &'p TextTokenizer,
}

impl Pool {
    /// A model that writes, for those who have texts; `None` of any other.
    pub fn texts(&self, model: ModelIndex) -> Option<Texts<'_>> {
        Some(Texts {
            pool: self,
            model,
            info: self.models.get(model.0)?,
            tokenizer: self.tokenizers.get(model.0)?.as_ref()?,
        })
    }
}

impl<'p> Texts<'p> {
    /// From text to tokens and back.
    pub fn tokenizer(&self) -> &'p TextTokenizer {
        self.tokenizer
    }

    /// The request for a text.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a text without content, `TooLong` for one that the model does not read
    /// whole.
    pub fn request(
        &self,
        text: &str,
        settings: &Arc<GenerationSettings>,
    ) -> Result<PoolRequest, RequestError> {
        if text.trim().is_empty() {
            let message = "the text is empty";
            return Err(RequestError::new(RequestErrorKind::InvalidInput, message));
        }
        let tokens = self.tokenizer.encode(text);
        let most = self.info.max_tokens;
        if tokens.len() > most {
            let message = format!("{} tokens are more than the model's {most}", tokens.len());
            return Err(RequestError::new(RequestErrorKind::TooLong, message));
        }
        if let Some(message) = self.tokenizer.beyond(&tokens, self.info.vocabulary) {
            return Err(RequestError::new(RequestErrorKind::InvalidInput, message));
        }
        let mut request = PoolRequest::new(self.model, tokens, OutputSet::default());
        request.generation = Some(Arc::clone(settings));
        Ok(request)
    }

    /// What an answer says.
    pub fn written(&self, answer: &Output) -> WrittenText {
        let generated = answer.generated().cloned().unwrap_or_default();
        WrittenText {
            text: self.tokenizer.decode(&generated.tokens),
            tokens: generated.tokens,
            score: generated.score,
        }
    }

    /// Writes an answer to each of many texts, in their order, with as many in progress as there
    /// are instances. Memory does not grow with the number of texts.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::Model;
    /// use sessile_models::generation::SettingsOverrides;
    /// use sessile_device::ModelIndex;
    /// use sessile_runtime::{Pool, PoolOptions, WritingOptions};
    ///
    /// # let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/bart/tiny");
    /// let files = Model::open(model.as_ref())?;
    /// let short = SettingsOverrides {
    ///     min_length: Some(3),
    ///     max_length: Some(12),
    ///     ..SettingsOverrides::default()
    /// };
    /// let settings = short.over(files.settings()?)?;
    /// let options = PoolOptions {
    ///     writing: WritingOptions::of(settings.clone()),
    ///     ..PoolOptions::default()
    /// };
    /// let pool = Pool::new(&[files], &options)?;
    /// let writer = pool.texts(ModelIndex(0)).unwrap();
    /// let texts = [("a", "The committee met."), ("b", ""), ("c", "Spring came.")];
    /// let mut answers = writer.infer_many(texts, settings);
    /// let (key, written) = answers.next().unwrap();
    /// assert!(key == "a" && written.unwrap().tokens.len() <= 12);
    /// assert!(answers.next().unwrap().1.is_err(), "an empty text");
    /// assert_eq!(answers.next().unwrap().0, "c");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn infer_many<K, T, I>(
        self,
        texts: I,
        settings: GenerationSettings,
    ) -> impl Iterator<Item = (K, Result<WrittenText, RequestError>)> + use<'p, K, T, I>
    where
        T: AsRef<str>,
        I: IntoIterator<Item = (K, T)>,
    {
        let settings = Arc::new(settings);
        let requests = texts.into_iter().map(move |(key, text)| {
            match self.request(text.as_ref(), &settings) {
                Ok(request) => ((key, None), Some(request)),
                Err(error) => ((key, Some(error)), None),
            }
        });
        self.pool
            .in_order(requests)
            .map(move |((key, error), answer)| {
                let written = match (answer, error) {
                    (Some(answer), _) => answer.map(|output| self.written(&output)),
                    (None, Some(error)) => Err(error),
                    (None, None) => Ok(WrittenText::default()),
                };
                (key, written)
            })
    }
}
