//! Articles to summaries.

use std::sync::Arc;

use sessile_device::ModelIndex;
use sessile_runtime::WrittenText;

use crate::error::Error;
use crate::open::Sessile;
use crate::watch::Watch;

impl Sessile {
    /// A summary of every article, in their order; as many as fit are written at the same time.
    /// How it is written is chosen with [`Builder::generation`](crate::Builder::generation).
    ///
    /// # Errors
    ///
    /// When the model does not write, and when an article is empty or longer than the model reads.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::{Sessile, SettingsOverrides, Watch};
    ///
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/bart/tiny");
    /// let greedy = SettingsOverrides { num_beams: Some(1), ..SettingsOverrides::default() };
    /// let model = Sessile::builder(path).generation(greedy).open()?;
    /// let articles = ["The committee met in spring.", "The theatre was crowded."];
    /// let summaries = model.summarize(&articles, &Watch::default())?;
    /// assert_eq!(summaries.len(), 2);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn summarize<S: AsRef<str>>(
        &self,
        articles: &[S],
        watch: &Watch,
    ) -> Result<Vec<WrittenText>, Error> {
        let writer = self.writer()?;
        let texts = writer.pool.texts(ModelIndex(0));
        let texts = texts.ok_or_else(|| self.writes_nothing())?;
        let settings = Arc::new(writer.settings.clone());
        let requests = articles.iter().enumerate().map(|(record, article)| {
            match texts.request(article.as_ref(), &settings) {
                Ok(request) => ((record, None), Some(request)),
                Err(error) => ((record, Some(error)), None),
            }
        });
        let mut written = Vec::with_capacity(articles.len());
        for ((record, refused), answer) in writer.pool.in_order(requests).until(watch.flag()) {
            let answer = match (answer, refused) {
                (Some(answer), _) => answer.map_err(|error| Error::of_request(record, error))?,
                (None, Some(error)) => return Err(Error::of_request(record, error)),
                (None, None) => continue,
            };
            written.push(texts.written(&answer));
            watch.advance();
        }
        match watch.is_stopped() {
            true => Err(Error::interrupted()),
            false => Ok(written),
        }
    }
}
