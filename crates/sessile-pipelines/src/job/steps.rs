//! From items to what the pool is asked: one request after the other, and sequences that are
//! identical asked for once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use sessile_device::{GenerationSettings, ModelIndex, Output, OutputSet, RequestError};
use sessile_runtime::PoolRequest;

use super::{Item, Items};

/// A request of an item, or an item without one.
pub(super) struct Step<T> {
    /// The item, with its last request.
    pub(super) item: Option<Item<T>>,
    /// What the answer is for; none when nothing is asked.
    pub(super) part: Option<Part>,
}

pub(super) struct Part {
    pub(super) tokens: usize,
    pub(super) is_shared: bool,
    answer: Rc<Shared>,
}

/// An answer that several parts wait for.
#[derive(Default)]
struct Shared {
    answer: RefCell<Option<Result<Rc<Output>, RequestError>>>,
    generation: Option<Arc<GenerationSettings>>,
}

impl Part {
    /// The answer: the pool's for the part that asked, the same again for those that share it.
    /// `None` when an interrupt has ended the pool's work.
    pub(super) fn answer(
        &self,
        from_pool: Option<Result<Output, RequestError>>,
    ) -> Option<Result<Rc<Output>, RequestError>> {
        let Some(answer) = from_pool else {
            return self.answer.answer.borrow().clone();
        };
        let answer = answer.map(Rc::new);
        if Rc::strong_count(&self.answer) > 1 {
            *self.answer.answer.borrow_mut() = Some(answer.clone());
        }
        Some(answer)
    }
}

/// What is asked of which model.
type Question = (ModelIndex, Vec<u32>, OutputSet);

/// Sequences that are on their way, so that those that come again meanwhile need not be asked for.
#[derive(Default)]
struct OnTheirWay {
    answers: HashMap<Question, Weak<Shared>>,
    swept: usize,
}

/// Entries beyond which those that arrived are forgotten.
const SWEEP: usize = 1 << 10;

impl OnTheirWay {
    /// The part of a request, and the request unless somebody has asked the same.
    fn ask(&mut self, request: PoolRequest) -> (Part, Option<PoolRequest>) {
        let tokens = request.tokens.len();
        let question = (request.model, request.tokens.clone(), request.outputs);
        let earlier = self.answers.get(&question).and_then(Weak::upgrade);
        if let Some(answer) = earlier.filter(|shared| shared.generation == request.generation) {
            let part = Part {
                tokens,
                is_shared: true,
                answer,
            };
            return (part, None);
        }
        if self.answers.len() >= self.swept.max(SWEEP) {
            self.answers.retain(|_, answer| answer.strong_count() > 0);
            self.swept = 2 * self.answers.len();
        }
        let answer = Rc::new(Shared {
            generation: request.generation.clone(),
            ..Shared::default()
        });
        self.answers.insert(question, Rc::downgrade(&answer));
        let part = Part {
            tokens,
            is_shared: false,
            answer,
        };
        (part, Some(request))
    }
}

/// The steps of all items, in their order.
pub(super) struct Steps<T> {
    items: Items<T>,
    /// Items that an earlier run has finished: nothing is asked for them.
    known: u64,
    on_their_way: OnTheirWay,
    /// The item that is handed out, and its requests, the last one first.
    current: Option<Item<T>>,
    parts: Vec<(Part, Option<PoolRequest>)>,
}

impl<T> Steps<T> {
    pub(super) fn new(items: Items<T>, known: u64) -> Self {
        Steps {
            items,
            known,
            on_their_way: OnTheirWay::default(),
            current: None,
            parts: Vec::new(),
        }
    }
}

impl<T: Send + 'static> Iterator for Steps<T> {
    type Item = (Step<T>, Option<PoolRequest>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.current.is_none() {
            let mut item = self.items.next()?;
            let is_known = item.key.is_some() && self.known > 0;
            self.known -= u64::from(is_known);
            let mut requests = std::mem::take(&mut item.requests);
            if is_known || item.problem.is_some() {
                requests.clear();
            }
            let parts = requests.into_iter();
            self.parts = parts
                .map(|request| self.on_their_way.ask(request))
                .collect();
            self.parts.reverse();
            self.current = Some(item);
        }
        let (part, request) = self.parts.pop().unzip();
        let item = match self.parts.is_empty() {
            true => self.current.take(),
            false => None,
        };
        Some((Step { item, part }, request.flatten()))
    }
}
