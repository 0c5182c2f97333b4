//! What the pool is asked: an article, the parts of one, or nothing where something is wrong.

use std::sync::Arc;

use sessile_device::{ModelIndex, Output, OutputSet, RequestError};
use sessile_models::GeneratorFiles;
use sessile_runtime::PoolRequest;

use super::articles::Article;
use super::{LongArticle, SummarizeOptions, parts};

/// An article on its way.
pub(super) struct InFlight {
    pub(super) article: Article,
    /// Why it is not asked for, if so.
    pub(super) problem: Option<String>,
    pub(super) is_truncated: bool,
    /// Parts that it was cut into; 0 when it was not.
    pub(super) parts: usize,
    /// Tokens that the model reads.
    pub(super) tokens: u64,
}

/// A request on its way: one of the parts of an article before its last, or the article.
pub(super) enum Way {
    Part,
    Article(Box<InFlight>),
}

/// An answer of the pool, if it was asked.
pub(super) type Answer = Option<Result<Output, RequestError>>;

/// The request of an article, those of its parts, or what is wrong with it.
pub(super) fn prepare(
    files: &GeneratorFiles,
    options: &SummarizeOptions,
    article: Article,
    is_finished: bool,
) -> Vec<(Way, Option<PoolRequest>)> {
    let mut in_flight = Box::new(InFlight {
        problem: article.problem.clone(),
        article,
        is_truncated: false,
        parts: 0,
        tokens: 0,
    });
    if is_finished || in_flight.problem.is_some() {
        return vec![(Way::Article(in_flight), None)];
    }
    let text = in_flight.article.text.trim();
    if text.is_empty() {
        in_flight.problem = Some("the article is empty".to_owned());
        return vec![(Way::Article(in_flight), None)];
    }
    let mut tokens = files.tokenizer().encode(text);
    let most = files.max_source_tokens();
    if tokens.len() > most {
        match options.long {
            LongArticle::Fail => {
                in_flight.problem = Some(format!(
                    "{} tokens are more than the model's {most}; --long truncate reads the \
                     beginning, --long map-reduce all of it in parts",
                    tokens.len()
                ));
                return vec![(Way::Article(in_flight), None)];
            }
            LongArticle::Truncate => {
                in_flight.is_truncated = files.tokenizer().truncate(&mut tokens, most);
            }
            LongArticle::MapReduce => return in_parts(files, options, in_flight),
        }
    }
    if let Some(problem) = files.beyond(&tokens) {
        in_flight.problem = Some(problem);
        return vec![(Way::Article(in_flight), None)];
    }
    in_flight.tokens = tokens.len() as u64;
    vec![(Way::Article(in_flight), Some(request(options, tokens)))]
}

/// The requests of an article's parts; the last one brings the article.
fn in_parts(
    files: &GeneratorFiles,
    options: &SummarizeOptions,
    mut in_flight: Box<InFlight>,
) -> Vec<(Way, Option<PoolRequest>)> {
    let parts = parts::cut(
        files.tokenizer(),
        &in_flight.article.text,
        files.max_source_tokens(),
    );
    let parts: Vec<Vec<u32>> = parts
        .into_iter()
        .map(|part| files.tokenizer().encode(part))
        .collect();
    if let Some(problem) = parts.iter().find_map(|tokens| files.beyond(tokens)) {
        in_flight.problem = Some(problem);
        return vec![(Way::Article(in_flight), None)];
    }
    in_flight.parts = parts.len();
    in_flight.tokens = parts.iter().map(|tokens| tokens.len() as u64).sum();
    let mut ways: Vec<(Way, Option<PoolRequest>)> = parts
        .into_iter()
        .map(|tokens| (Way::Part, Some(request(options, tokens))))
        .collect();
    if let Some((way, _)) = ways.last_mut() {
        *way = Way::Article(in_flight);
    }
    ways
}

pub(super) fn request(options: &SummarizeOptions, tokens: Vec<u32>) -> PoolRequest {
    let mut request = PoolRequest::new(ModelIndex(0), tokens, OutputSet::default());
    request.generation = Some(Arc::new(options.settings.clone()));
    request
}
