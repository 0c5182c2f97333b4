//! Streams of requests: several are computed at a time, answers come in order.

use std::future::Future;
use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use prost::Message;
use tonic::{Response, Status, Streaming};

use super::call::Caller;

/// Requests of one stream that are computed at the same time; the next is read when one is answered.
const AT_ONCE: usize = 16;

/// Answers on their way.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers each request of a stream in its order. The first that fails as a whole ends it.
pub(super) fn each<T, R, F>(
    caller: Caller,
    requests: Streaming<T>,
    answer: impl Fn(Caller, T) -> F + Clone + Send + 'static,
) -> Response<Answers<R>>
where
    T: Message + 'static,
    R: Send + 'static,
    F: Future<Output = Result<R, Status>> + Send + 'static,
{
    // Nothing more is read when the service stops; what was read is answered.
    let answers = requests
        .take_until(caller.service().stopped())
        .map(move |request| {
            let answer = answer.clone();
            let begun = request.and_then(|request| {
                let caller = caller.apart(request.encoded_len())?;
                Ok((caller, request))
            });
            async move {
                let (caller, request) = begun?;
                // What it holds is held until its turn to be sent.
                answer(caller.clone(), request)
                    .await
                    .map(|answer| (answer, caller))
            }
        })
        .buffered(AT_ONCE)
        .scan(false, |has_failed, answer| {
            let goes_on = !*has_failed;
            *has_failed = answer.is_err();
            std::future::ready(goes_on.then_some(answer.map(|(answer, _)| answer)))
        });
    Response::new(Box::pin(answers))
}
