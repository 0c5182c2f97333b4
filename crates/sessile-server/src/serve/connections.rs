//! The connections that are open, at most so many. When there are more, the one that has waited
//! longest for the head of a request is closed, then the one that has waited longest for a body. Where
//! every one is at work a few more are taken: probes are answered on them, all else is refused. Every
//! client has a moment before its connection is closed for others.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
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
    /// Connections within the most.
    within: usize,
    /// Connections that wait for their clients, in the order in which they would be closed.
    waiting: BTreeMap<(Stage, u64), (u64, Instant)>,
}

/// A connection that is open.
struct Place {
    /// Whether it was taken beyond the most.
    is_beyond: bool,
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
    /// Told when the connection must end though an answer is being sent.
    cut: Notify,
    requests: Mutex<Requests>,
}

/// The requests of a connection that are not answered yet; with HTTP/2 there may be several.
#[derive(Clone, Copy, Default)]
struct Requests {
    all: usize,
    without_body: usize,
}

impl Requests {
    /// What the connection waits for, if its client is to blame.
    fn waits_for(self) -> Option<Stage> {
        match self {
            Requests { all: 0, .. } => Some(Stage::Head),
            Requests { all, without_body } if all == without_body => Some(Stage::Body),
            _ => None,
        }
    }
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
        let most = self.most + FOR_PROBES;
        self.until(|state| state.open.len() < most || state.close_first(self.moment))
            .await;
    }

    /// Waits until `is_so`, which is asked again when something has changed or a moment may be over.
    async fn until(&self, mut is_so: impl FnMut(&mut State) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that no change in between is missed.
            changed.as_mut().enable();
            if is_so(&mut self.lock()) {
                return;
            }
            tokio::select! {
                () = changed => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Whether there is room within the most, or is now for one was closed.
    fn has_room(&self, state: &mut State) -> bool {
        while state.within >= self.most {
            if !state.close_first(self.moment) {
                return false;
            }
        }
        true
    }

    /// Takes another connection, and closes one for it where there are too many.
    pub(super) fn enter(self: &Arc<Self>) -> Connection {
        let mut state = self.lock();
        let is_beyond = !self.has_room(&mut state);
        state.within += usize::from(!is_beyond);
        let id = state.number();
        let closing = Arc::new(Notify::new());
        let place = Place {
            is_beyond,
            waits: None,
            closing: Arc::clone(&closing),
        };
        state.open.insert(id, place);
        state.set(id, Some(Stage::Head));
        Connection {
            all: Arc::clone(self),
            id,
            closing,
            cut: Notify::new(),
            requests: Mutex::default(),
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
        if let Some(place) = self.leave(id) {
            place.closing.notify_one();
        }
        true
    }

    fn leave(&mut self, id: u64) -> Option<Place> {
        let place = self.open.remove(&id)?;
        self.within -= usize::from(!place.is_beyond);
        Some(place)
    }
}

impl Connection {
    /// Done when the connection is to be closed for others.
    pub(super) async fn closing(&self) {
        self.closing.notified().await;
    }

    /// Done when the client took too long for an answer.
    pub(super) async fn cut(&self) {
        self.cut.notified().await;
    }

    /// Whether a request has arrived since the connection was told to close: then it stays, beyond the
    /// most if need be. To be asked when what had arrived could be read.
    pub(super) fn stays(&self) -> bool {
        let mut state = self.all.lock();
        let is_at_work = self.requests().waits_for().is_none();
        if is_at_work && !state.open.contains_key(&self.id) {
            let is_beyond = state.within >= self.all.most;
            state.within += usize::from(!is_beyond);
            let place = Place {
                is_beyond,
                waits: None,
                closing: Arc::clone(&self.closing),
            };
            state.open.insert(self.id, place);
        }
        is_at_work
    }

    /// A head has arrived.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        self.change(|requests| requests.all += 1);
        Exchange(Arc::new(Working {
            connection: Arc::clone(self),
        }))
    }

    fn requests(&self) -> Requests {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts, and puts the connection where it belongs then.
    fn change(&self, change: impl FnOnce(&mut Requests)) {
        let mut state = self.all.lock();
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let before = requests.waits_for();
        change(&mut requests);
        let now = requests.waits_for();
        if before != now {
            state.set(self.id, now);
        }
        drop((requests, state));
        if now.is_some() {
            self.all.changed.notify_waiters();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.all.lock();
        state.set(self.id, None);
        state.leave(self.id);
        drop(state);
        self.all.changed.notify_waiters();
    }
}

impl Exchange {
    /// Whether only probes are answered on this connection. Before it says so it waits a moment for
    /// room within the most.
    pub(crate) async fn is_for_probes(&self) -> bool {
        let connection = &self.0.connection;
        let all = &connection.all;
        let comes_within = |state: &mut State| {
            let place = state.open.get(&connection.id);
            if !place.is_some_and(|place| place.is_beyond) {
                return true;
            }
            if !all.has_room(state) {
                return false;
            }
            if let Some(place) = state.open.get_mut(&connection.id) {
                place.is_beyond = false;
                state.within += 1;
            }
            true
        };
        timeout(all.moment + LOOK, all.until(comes_within))
            .await
            .is_err()
    }

    /// Ends the connection, with all that is on it, unless what this gives is dropped in time: with
    /// HTTP/2 a client can leave an answer lying without the socket being slow.
    pub(crate) fn cut_after(&self, time: Duration) -> Limit {
        let connection = Arc::clone(&self.0.connection);
        let task = tokio::spawn(async move {
            sleep(time).await;
            connection.cut.notify_one();
        });
        Limit(task.abort_handle())
    }

    /// The body is waited for until what this gives is dropped.
    pub(crate) fn waits_for_body(&self) -> Waiting<'_> {
        self.0
            .connection
            .change(|requests| requests.without_body += 1);
        Waiting(self)
    }
}

/// A time for an answer to be sent; over when this is dropped.
pub(crate) struct Limit(AbortHandle);

impl Drop for Limit {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request whose body is waited for.
pub(crate) struct Waiting<'a>(&'a Exchange);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let connection = &self.0.0.connection;
        connection.change(|requests| requests.without_body -= 1);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.connection.change(|requests| requests.all -= 1);
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
        assert!(is_beyond(&second) && !is_closed(&first));
    }

    fn is_beyond(connection: &Connection) -> bool {
        connection.all.lock().open[&connection.id].is_beyond
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
        assert!(!is_beyond(&fourth) && is_closed(&second) && !is_closed(&third));
        let fourth_work = fourth.begin();
        let fifth = Arc::new(all.enter());
        assert!(!is_beyond(&fifth) && is_closed(&third));
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

    #[tokio::test]
    async fn a_request_that_arrives_as_its_connection_is_closed_keeps_it() {
        let all = Connections::with_moment(1, Duration::ZERO);
        let first = Arc::new(all.enter());
        let second = Arc::new(all.enter());
        assert!(is_closed(&first));
        // Its client had sent the head already.
        let work = first.begin();
        assert!(first.stays() && !second.stays());
        assert_eq!(all.lock().open.len(), 2);
        drop((second, work));
        // A second request on the same connection keeps it at work.
        let works = [first.begin(), first.begin()];
        let [one, other] = works;
        let body = one.waits_for_body();
        assert!(first.stays());
        let waiting = other.waits_for_body();
        assert!(!first.stays());
        drop((body, waiting));
        drop((one, other, first));
        let state = all.lock();
        assert_eq!((state.open.len(), state.within), (0, 0));
    }
}
