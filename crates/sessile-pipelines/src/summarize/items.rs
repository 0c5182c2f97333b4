//! What the pool is asked for an article: one request, those of its parts, or nothing where
//! something is wrong.

use std::sync::Arc;

use sessile_device::{GenerationSettings, ModelIndex, OutputSet};
use sessile_models::tokenizer::TextTokenizer;
use sessile_runtime::PoolRequest;
use sessile_seq::inputs::Input;

use super::articles::{Article, Articles};
use super::row::Fields;
use super::{LongArticle, SummarizeOptions, parts};
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::job::{Item, Items, Key, Problem, Reading};
use crate::journal::InputHash;

/// Articles read ahead: few, for each may be large.
const AHEAD: usize = 4;

/// What is kept of an article on its way.
pub(super) struct InFlight {
    pub(super) fields: Fields,
    pub(super) is_truncated: bool,
    /// Parts that it was cut into; 0 when it was not.
    pub(super) parts: usize,
}

/// How articles are asked for.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) tokenizer: TextTokenizer,
    /// Most tokens that the model reads.
    pub(super) most: usize,
    pub(super) long: LongArticle,
    pub(super) settings: Arc<GenerationSettings>,
    /// Tokens that the model has a row for.
    pub(super) rows: usize,
}

/// Begins to read the articles of all inputs.
pub(super) fn start(
    inputs: &[Input],
    options: &SummarizeOptions,
    asking: Asking,
    interrupt: &Interrupt,
) -> Result<Items<InFlight>, PipelineError> {
    let reading = Reading::of(inputs, options.rows.shard);
    let articles = Articles::new(&options.inputs, &options.text_field, &reading);
    Items::start_thread(reading, AHEAD, interrupt, move |handover| {
        for article in articles {
            let number = handover.reading.next_record(false);
            if number.is_some() && !handover.send(asking.item(number, article)) {
                return;
            }
        }
    })
}

impl Asking {
    /// The request for so many tokens.
    pub(super) fn request(&self, tokens: Vec<u32>) -> PoolRequest {
        let mut request = PoolRequest::new(ModelIndex(0), tokens, OutputSet::default());
        request.generation = Some(Arc::clone(&self.settings));
        request
    }

    fn item(&self, number: Option<u64>, article: Article) -> Item<InFlight> {
        let Article {
            place,
            line,
            fields,
            text,
            problem,
        } = article;
        let id = fields.id();
        let mut content = InFlight {
            fields,
            is_truncated: false,
            parts: 0,
        };
        let requests = match problem {
            Some(problem) => Err(problem),
            None => self.requests(text.trim(), &mut content),
        };
        let (requests, problem) = match requests {
            Ok(requests) => (requests, None),
            Err(reason) => (Vec::new(), Some(Problem::of_record(reason))),
        };
        Item {
            number,
            id,
            key: Some(Key {
                name: place.clone(),
                input: InputHash::of(&line),
            }),
            place,
            requests,
            problem,
            is_record: true,
            content,
        }
    }

    /// What is asked for a text, or why it is not: also when it has a token that the model has no
    /// row for.
    fn requests(&self, text: &str, content: &mut InFlight) -> Result<Vec<PoolRequest>, String> {
        let requests = self.unchecked(text, content)?;
        let mut tokens = requests.iter().map(|request| &request.tokens);
        match tokens.find_map(|tokens| self.tokenizer.beyond(tokens, self.rows)) {
            Some(problem) => Err(problem),
            None => Ok(requests),
        }
    }

    fn unchecked(&self, text: &str, content: &mut InFlight) -> Result<Vec<PoolRequest>, String> {
        if text.is_empty() {
            return Err("the article is empty".to_owned());
        }
        let mut tokens = self.tokenizer.encode(text);
        let most = self.most;
        if tokens.len() <= most {
            return Ok(vec![self.request(tokens)]);
        }
        match self.long {
            LongArticle::Fail => Err(format!(
                "{} tokens are more than the model's {most}; --long truncate reads the beginning, \
                 --long map-reduce all of it in parts",
                tokens.len()
            )),
            LongArticle::Truncate => {
                content.is_truncated = self.tokenizer.truncate(&mut tokens, most);
                Ok(vec![self.request(tokens)])
            }
            LongArticle::MapReduce => {
                let parts = parts::cut(&self.tokenizer, text, most);
                content.parts = parts.len();
                let requests = parts.into_iter();
                Ok(requests
                    .map(|part| self.request(self.tokenizer.encode(part)))
                    .collect())
            }
        }
    }
}
