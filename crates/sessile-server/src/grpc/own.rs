//! The service of our own: `sessile.v1.Sessile`.

use std::sync::Arc;

use futures_util::StreamExt as _;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::call::Caller;
use super::made::sessile as pb;
use super::made::sessile::sessile_server::Sessile;
use super::streams::{Answers, each};
use crate::failure::Failure;
use crate::service::Service;
use crate::v1::{
    Embeddings, EmbeddingsRequest, Event, Method, Pooling, Post, PostScore, ScoreRequest,
    Summarize, ThreeDi, ThreeDiRequest, Writing, WritingRequest, events,
};

/// The service.
pub(super) struct Own(Arc<Service>);

impl Own {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Own(service)
    }
}

/// The model and priority of a request.
fn terms(terms: Option<pb::Terms>) -> (Option<String>, Option<u8>) {
    let terms = terms.unwrap_or_default();
    let model = Some(terms.model).filter(|model| !model.is_empty());
    // What does not fit is more than the highest, which is refused in words.
    let priority = terms
        .priority
        .map(|priority| u8::try_from(priority).unwrap_or(u8::MAX));
    (model, priority)
}

fn error(failure: &Failure) -> Option<pb::Error> {
    Some(pb::Error {
        r#type: failure.kind.name().to_owned(),
        message: failure.message.clone(),
    })
}

fn usage(read: usize, written: usize) -> Option<pb::Usage> {
    Some(pb::Usage {
        prompt_tokens: read as u64,
        completion_tokens: written as u64,
    })
}

async fn embed(caller: Caller, message: pb::EmbedRequest) -> Result<pb::EmbedResponse, Status> {
    let pooling = match message.pooling() {
        pb::Pooling::Mean => Pooling::Mean,
        pb::Pooling::MeanAll => Pooling::MeanAll,
        pb::Pooling::Cls => Pooling::Cls,
    };
    let (model, priority) = terms(message.terms);
    let request = EmbeddingsRequest {
        model,
        priority,
        input: message.sequences.into(),
        pooling: Some(pooling),
        ..EmbeddingsRequest::default()
    };
    let list = caller.run::<Post<Embeddings>>(request).await?;
    let (model, used) = (list.model.clone(), usage(list.usage.prompt_tokens, 0));
    let items = list.into_results().map(|result| match result {
        Ok(item) => pb::Embedding {
            values: item.embedding.into_tensor().data,
            error: None,
        },
        Err(failure) => pb::Embedding {
            values: Vec::new(),
            error: error(&failure),
        },
    });
    Ok(pb::EmbedResponse {
        model,
        usage: used,
        items: items.collect(),
    })
}

async fn score(caller: Caller, message: pb::ScoreRequest) -> Result<pb::ScoreResponse, Status> {
    let (model, priority) = terms(message.terms);
    let request = ScoreRequest {
        model,
        priority,
        input: message.sequences.into(),
        method: message.unmasked.then_some(Method::Unmasked),
        mutants: Some(message.mutants),
        ..ScoreRequest::default()
    };
    let list = caller.run::<PostScore>(request).await?;
    let (model, used) = (list.model.clone(), usage(list.usage.prompt_tokens, 0));
    let items = list.into_results().map(|result| match result {
        Ok(item) => pb::Score {
            log_likelihood: item.log_likelihood,
            pseudo_perplexity: item.pseudo_perplexity,
            log_probabilities: item.log_probabilities,
            mutants: item
                .mutants
                .map_or_else(Vec::new, |found| found.scores.concat()),
            error: None,
        },
        Err(failure) => pb::Score {
            error: error(&failure),
            ..pb::Score::default()
        },
    });
    Ok(pb::ScoreResponse {
        model,
        usage: used,
        items: items.collect(),
    })
}

async fn states(caller: Caller, message: pb::StatesRequest) -> Result<pb::StatesResponse, Status> {
    let (model, priority) = terms(message.terms);
    let request = ThreeDiRequest {
        model,
        priority,
        input: message.sequences.into(),
        mask_below: message.mask_below,
        probabilities: Some(message.probabilities),
        ..ThreeDiRequest::default()
    };
    let list = caller.run::<Post<ThreeDi>>(request).await?;
    let (model, used) = (list.model.clone(), usage(list.usage.prompt_tokens, 0));
    let items = list.into_results().map(|result| match result {
        Ok(item) => pb::States {
            three_di: item.three_di,
            twelve_state: item.twelve_state,
            mean_probability: item.mean_probability,
            probabilities: item.probabilities.unwrap_or_default(),
            error: None,
        },
        Err(failure) => pb::States {
            error: error(&failure),
            ..pb::States::default()
        },
    });
    Ok(pb::StatesResponse {
        model,
        usage: used,
        items: items.collect(),
    })
}

fn writing(message: pb::SummarizeRequest) -> WritingRequest {
    let count = |number: Option<u32>| number.map(|number| number as usize);
    let (model, priority) = terms(message.terms);
    WritingRequest {
        model,
        priority,
        input: message.texts.into(),
        truncate: Some(message.truncate),
        num_beams: count(message.num_beams),
        min_length: count(message.min_length),
        max_length: count(message.max_length),
        length_penalty: message.length_penalty,
        no_repeat_ngram_size: count(message.no_repeat_ngram_size),
        do_sample: message.do_sample,
        temperature: message.temperature,
        top_k: count(message.top_k),
        top_p: message.top_p,
        seed: message.seed,
        ..WritingRequest::default()
    }
}

#[async_trait]
impl Sessile for Own {
    type EmbedStreamStream = Answers<pb::EmbedResponse>;
    type ScoreStreamStream = Answers<pb::ScoreResponse>;
    type StatesStreamStream = Answers<pb::StatesResponse>;
    type SummarizeStreamStream = Answers<pb::SummaryPiece>;

    async fn embed(
        &self,
        request: Request<pb::EmbedRequest>,
    ) -> Result<Response<pb::EmbedResponse>, Status> {
        let caller = Caller::of(&self.0, &request);
        embed(caller, request.into_inner()).await.map(Response::new)
    }

    async fn embed_stream(
        &self,
        request: Request<Streaming<pb::EmbedRequest>>,
    ) -> Result<Response<Self::EmbedStreamStream>, Status> {
        let caller = Caller::of(&self.0, &request);
        Ok(each(caller, request.into_inner(), embed))
    }

    async fn score(
        &self,
        request: Request<pb::ScoreRequest>,
    ) -> Result<Response<pb::ScoreResponse>, Status> {
        let caller = Caller::of(&self.0, &request);
        score(caller, request.into_inner()).await.map(Response::new)
    }

    async fn score_stream(
        &self,
        request: Request<Streaming<pb::ScoreRequest>>,
    ) -> Result<Response<Self::ScoreStreamStream>, Status> {
        let caller = Caller::of(&self.0, &request);
        Ok(each(caller, request.into_inner(), score))
    }

    async fn states(
        &self,
        request: Request<pb::StatesRequest>,
    ) -> Result<Response<pb::StatesResponse>, Status> {
        let caller = Caller::of(&self.0, &request);
        states(caller, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn states_stream(
        &self,
        request: Request<Streaming<pb::StatesRequest>>,
    ) -> Result<Response<Self::StatesStreamStream>, Status> {
        let caller = Caller::of(&self.0, &request);
        Ok(each(caller, request.into_inner(), states))
    }

    async fn summarize(
        &self,
        request: Request<pb::SummarizeRequest>,
    ) -> Result<Response<pb::SummarizeResponse>, Status> {
        let caller = Caller::of(&self.0, &request);
        let request = writing(request.into_inner());
        let list = caller.run::<Writing<Summarize>>(request).await?;
        let (model, used) = (
            list.model.clone(),
            usage(list.usage.prompt_tokens, list.usage.completion_tokens),
        );
        let items = list.into_results().map(|result| match result {
            Ok(item) => pb::Summary {
                summary: item.summary,
                token_ids: item.token_ids,
                truncated: item.truncated,
                error: None,
            },
            Err(failure) => pb::Summary {
                error: error(&failure),
                ..pb::Summary::default()
            },
        });
        Ok(Response::new(pb::SummarizeResponse {
            model,
            usage: used,
            items: items.collect(),
        }))
    }

    async fn summarize_stream(
        &self,
        request: Request<pb::SummarizeRequest>,
    ) -> Result<Response<Self::SummarizeStreamStream>, Status> {
        let caller = Caller::of(&self.0, &request);
        let mut request = writing(request.into_inner());
        request.stream = Some(true);
        let begin = async {
            let mut writing: Writing<Summarize> = caller.make(request).await?;
            let terms = caller.terms(&writing)?;
            events(&mut writing, caller.service(), terms)
        };
        let events = begin.await.map_err(|failure| failure.status())?;
        let pieces = events.map(|event| match event {
            Event::Piece(text) => Ok(pb::SummaryPiece {
                text,
                ..pb::SummaryPiece::default()
            }),
            Event::Whole(whole) => Ok(pb::SummaryPiece {
                text: String::new(),
                usage: usage(whole.usage.prompt_tokens, whole.usage.completion_tokens),
                whole: Some(pb::Summary {
                    summary: whole.text,
                    token_ids: whole.token_ids,
                    truncated: whole.truncated,
                    error: None,
                }),
            }),
            Event::Failed(failure) => Err(failure.status()),
        });
        Ok(Response::new(Box::pin(pieces)))
    }
}
