//! The connections that are open, at most so many. When there are more, the one that has waited
//! longest for the head of a request is closed, then the one that has waited longest for a body. Where
//! every one is at work a few more are taken: probes are answered on them, all else is refused. Every
//! client has a moment before its connection is closed for others.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Connections beyond the most, for probes.
const FOR_PROBES: usize = 16;

/// How long each client may be waited for, however many others there are.
const MOMENT: Duration = Duration::from_secs(1);

/// How often those that want room look whether a moment is over.
const LOOK: Duration = Duration::from_millis(50);

/// The connections that are open.
pub(super) struct Connections {
    most: usize,
    moment: Duration,
    state: Mutex<State>,
    /// Told when one closes, or begins to wait for its client.
    changed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    open: HashMap<u64, Place>,
    /// Connections that wait for their clients, in the order in which they would be closed.
    waiting: BTreeMap<(Stage, u64), (u64, Instant)>,
}

/// A connection that is open.
struct Place {
    waits: Option<(Stage, u64)>,
    closing: Arc<Notify>,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Head,
    Body,
}

/// A connection, open until this is dropped.
pub(super) struct Connection {
    all: Arc<Connections>,
    id: u64,
    closing: Arc<Notify>,
    /// Whether it was taken beyond the most.
    is_beyond: bool,
}

/// A request on a connection, until its answer is sent.
#[derive(Clone)]
pub(crate) struct Exchange(Arc<Working>);

struct Working {
    connection: Arc<Connection>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Connections::with_moment(most, MOMENT)
    }

    fn with_moment(most: usize, moment: Duration) -> Arc<Self> {
        Arc::new(Connections {
            most: most.max(1),
            moment,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves at worst a place that is closed early.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for another connection.
    pub(super) async fn room(&self) {
        self.fewer_than(self.most + FOR_PROBES).await;
    }

    /// Waits until there are fewer connections than this, or one can be closed for another.
    async fn fewer_than(&self, count: usize) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that no change in between is missed.
            changed.as_mut().enable();
            {
                let mut state = self.lock();
                if state.open.len() < count || state.close_first(self.moment) {
                    return;
                }
            }
            tokio::select! {
                () = changed => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Takes another connection, and closes one for it where there are too many.
    pub(super) fn enter(self: &Arc<Self>) -> Connection {
        let mut state = self.lock();
        let is_beyond = state.open.len() >= self.most && !state.close_first(self.moment);
        let id = state.number();
        let closing = Arc::new(Notify::new());
        let place = Place {
            waits: None,
            closing: Arc::clone(&closing),
        };
        state.open.insert(id, place);
        state.set(id, Some(Stage::Head));
        Connection {
            all: Arc::clone(self),
            id,
            closing,
            is_beyond,
        }
    }

    /// Closes the connection that has waited longest for its client.
    pub(super) fn close_longest_waiting(&self) {
        self.lock().close_first(self.moment);
    }

    /// Closes all that wait for the head of a request.
    pub(super) fn close_idle(&self) {
        let mut state = self.lock();
        while let Some((&(Stage::Head, _), _)) = state.waiting.first_key_value() {
            state.close_first(Duration::ZERO);
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Puts a connection, if it is still open, among those that wait for their clients, or not.
    fn set(&mut self, id: u64, stage: Option<Stage>) {
        let waits = stage.map(|stage| (stage, self.number()));
        let Some(place) = self.open.get_mut(&id) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut place.waits, waits) {
            self.waiting.remove(&before);
        }
        if let Some(waits) = waits {
            self.waiting.insert(waits, (id, Instant::now()));
        }
    }

    /// Closes the connection that has waited longest, if that is long enough.
    fn close_first(&mut self, at_least: Duration) -> bool {
        let first = [Stage::Head, Stage::Body].into_iter().find_map(|stage| {
            let (key, &(id, since)) = self.waiting.range((stage, 0)..).next()?;
            (key.0 == stage && since.elapsed() >= at_least).then_some((*key, id))
        });
        let Some((key, id)) = first else {
            return false;
        };
        self.waiting.remove(&key);
        if let Some(place) = self.open.remove(&id) {
            place.closing.notify_one();
        }
        true
    }
}

impl Connection {
    /// Done when the connection is to be closed for others.
    pub(super) async fn closing(&self) {
        self.closing.notified().await;
    }

    /// A head has arrived.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        self.all.lock().set(self.id, None);
        Exchange(Arc::new(Working {
            connection: Arc::clone(self),
        }))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.all.lock();
        state.set(self.id, None);
        state.open.remove(&self.id);
        drop(state);
        self.all.changed.notify_waiters();
    }
}

impl Exchange {
    /// Whether only probes are answered on this connection. Gives others that wait for their
    /// clients their moment first.
    pub(crate) async fn is_for_probes(&self) -> bool {
        let connection = &self.0.connection;
        let all = &connection.all;
        if !connection.is_beyond {
            return false;
        }
        timeout(all.moment + LOOK, all.fewer_than(all.most + 1))
            .await
            .is_err()
    }

    /// The body is waited for until what this gives is dropped.
    pub(crate) fn waits_for_body(&self) -> Waiting<'_> {
        self.set(Some(Stage::Body));
        self.0.connection.all.changed.notify_waiters();
        Waiting(self)
    }

    fn set(&self, stage: Option<Stage>) {
        let connection = &self.0.connection;
        connection.all.lock().set(connection.id, stage);
    }
}

/// A request whose body is waited for.
pub(crate) struct Waiting<'a>(&'a Exchange);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.all.lock().set(connection.id, Some(Stage::Head));
        connection.all.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn clients_have_a_moment_before_they_are_closed() {
        let all = Connections::with_moment(1, Duration::from_secs(1000));
        let first = Arc::new(all.enter());
        let second = all.enter();
        assert!(second.is_beyond && !is_closed(&first));
    }

    fn is_closed(connection: &Connection) -> bool {
        let closing = pin!(connection.closing());
        closing
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[tokio::test]
    async fn who_waits_longest_for_its_client_is_closed_first() {
        let all = Connections::with_moment(3, Duration::ZERO);
        let [first, second, third] = std::array::from_fn(|_| Arc::new(all.enter()));
        // The first is at work, the third waits for a body.
        let work = first.begin();
        let body = third.begin();
        let waiting = body.waits_for_body();
        let fourth = Arc::new(all.enter());
        assert!(!fourth.is_beyond && is_closed(&second) && !is_closed(&third));
        let fourth_work = fourth.begin();
        let fifth = Arc::new(all.enter());
        assert!(!fifth.is_beyond && is_closed(&third));
        // All are at work: only probes are taken.
        let _fifth_work = fifth.begin();
        let sixth = Arc::new(all.enter());
        let probe = sixth.begin();
        assert!(probe.is_for_probes().await && !is_closed(&first));
        // Until one is not.
        drop((fourth_work, fourth));
        assert!(!probe.is_for_probes().await);
        drop((second, third, waiting));
        assert_eq!(all.lock().open.len(), 3);
        drop(work);
        all.close_idle();
        assert!(is_closed(&first) && !is_closed(&fifth));
    }
}
