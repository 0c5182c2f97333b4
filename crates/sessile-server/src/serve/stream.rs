//! A connection that bears neither clients that take their answer too slowly nor, for long, clients
//! that have closed their side.
//!
//! A client that closes its sending side may have hung up, or may be waiting for the answer: both
//! look the same. It is given a moment, in which a short request is answered; then it is taken to
//! have hung up, and its work is cancelled.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How long after its end a connection's reading side stays open.
const HALF_CLOSED_GRACE: Duration = Duration::from_millis(250);

/// How fast a client must take its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Time in which this is asked of it.
    pub(super) every: Duration,
    /// Bytes that it must take in that time, or all that there are.
    pub(super) bytes: usize,
}

impl Pace {
    /// The longest time for so many bytes.
    pub(crate) fn time_for(self, bytes: u64) -> Duration {
        let turns = bytes / self.bytes.max(1) as u64 + 1;
        self.every
            .saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX))
    }
}

/// A connection with these bounds.
pub(super) struct GuardedStream {
    stream: TcpStream,
    pace: Pace,
    /// Runs since a write found the client slower than the service.
    slow: Option<Slow>,
    /// Runs since the client closed its side.
    ended: Option<Pin<Box<Sleep>>>,
    /// Runs until so much has arrived that it is known which protocol the client speaks.
    greeting: Option<Greeting>,
}

/// The first bytes of a client.
struct Greeting {
    until: Pin<Box<Sleep>>,
    bytes: usize,
}

/// Bytes of the preface of HTTP/2. Until there are as many the protocol may be unknown, and nothing
/// else limits how long the client takes.
const PREFACE_BYTES: usize = 24;

/// A client that is slower than the service.
struct Slow {
    until: Pin<Box<Sleep>>,
    taken: usize,
}

impl GuardedStream {
    /// `patience` is for the first bytes.
    pub(super) fn new(stream: TcpStream, pace: Pace, patience: Duration) -> Self {
        GuardedStream {
            stream,
            pace,
            slow: None,
            ended: None,
            greeting: Some(Greeting {
                until: Box::pin(sleep(patience)),
                bytes: 0,
            }),
        }
    }

    /// Counts what has arrived of the greeting.
    fn greeted(&mut self, bytes: usize) {
        if let Some(greeting) = &mut self.greeting {
            greeting.bytes += bytes;
            if greeting.bytes >= PREFACE_BYTES {
                self.greeting = None;
            }
        }
    }

    /// Waits for the greeting, no longer than its client may take for it.
    fn waits_for_greeting(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(greeting) = &mut self.greeting else {
            return Poll::Pending;
        };
        ready!(greeting.until.as_mut().poll(context));
        let message = "the client does not say what it wants";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }

    /// Passes the result of a write on, or gives up on a client that takes too little.
    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        // Whoever is answered was understood.
        self.greeting = None;
        match (&result, &mut self.slow) {
            (Poll::Ready(Ok(taken)), Some(slow)) => {
                slow.taken = slow.taken.saturating_add(*taken);
                if slow.taken >= self.pace.bytes {
                    self.slow = None;
                }
                result
            }
            (Poll::Ready(_), _) => result,
            (Poll::Pending, _) => self.waits(context),
        }
    }

    /// Waits for the client, as long as it may make us wait.
    fn waits<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let every = self.pace.every;
        let slow = self.slow.get_or_insert_with(|| Slow {
            until: Box::pin(sleep(every)),
            taken: 0,
        });
        ready!(slow.until.as_mut().poll(context));
        let message = "the client takes its answer too slowly";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended.is_none() {
            let before = buffer.filled().len();
            match Pin::new(&mut self.stream).poll_read(context, buffer)? {
                Poll::Ready(()) => {}
                Poll::Pending => return self.waits_for_greeting(context),
            }
            let read = buffer.filled().len() - before;
            self.greeted(read);
            if read > 0 || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let ended = self
            .ended
            .get_or_insert_with(|| Box::pin(sleep(HALF_CLOSED_GRACE)));
        ended.as_mut().poll(context).map(Ok)
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(result) => {
                // Asked for when all is written: the client owes nothing.
                self.slow = None;
                Poll::Ready(result)
            }
            Poll::Pending => self.waits(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.waits(context),
            done => done,
        }
    }
}
