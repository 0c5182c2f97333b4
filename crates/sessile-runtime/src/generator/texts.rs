//! Texts in, texts out: what a program asks that knows nothing of tokens.

use std::sync::Arc;

use sessile_device::{
    GenerationSettings, ModelIndex, Output, OutputSet, RequestError, RequestErrorKind,
};

use super::GeneratorPool;
use crate::pool::PoolRequest;

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

impl GeneratorPool {
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
        let most = self.plan.info.max_source_tokens;
        if tokens.len() > most {
            let message = format!("{} tokens are more than the model's {most}", tokens.len());
            return Err(RequestError::new(RequestErrorKind::TooLong, message));
        }
        if let Some(message) = self.tokenizer.beyond(&tokens, self.plan.info.vocabulary) {
            return Err(RequestError::new(RequestErrorKind::InvalidInput, message));
        }
        let mut request = PoolRequest::new(ModelIndex(0), tokens, OutputSet::default());
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
    /// use sessile_runtime::{GeneratorOptions, GeneratorPool};
    ///
    /// # let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/bart/tiny");
    /// let files = Model::open(model.as_ref())?;
    /// let short = SettingsOverrides {
    ///     min_length: Some(3),
    ///     max_length: Some(12),
    ///     ..SettingsOverrides::default()
    /// };
    /// let settings = short.over(files.settings()?)?;
    /// let pool = GeneratorPool::new(&files, &GeneratorOptions::new(settings.clone()))?;
    /// let texts = [("a", "The committee met."), ("b", ""), ("c", "Spring came.")];
    /// let mut answers = pool.infer_many(texts, settings);
    /// let (key, written) = answers.next().unwrap();
    /// assert!(key == "a" && written.unwrap().tokens.len() <= 12);
    /// assert!(answers.next().unwrap().1.is_err(), "an empty text");
    /// assert_eq!(answers.next().unwrap().0, "c");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn infer_many<K, T, I>(
        &self,
        texts: I,
        settings: GenerationSettings,
    ) -> impl Iterator<Item = (K, Result<WrittenText, RequestError>)>
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
        self.pool.in_order(requests).map(|((key, error), answer)| {
            let written = match (answer, error) {
                (Some(answer), _) => answer.map(|output| self.written(&output)),
                (None, Some(error)) => Err(error),
                (None, None) => Ok(WrittenText::default()),
            };
            (key, written)
        })
    }
}
