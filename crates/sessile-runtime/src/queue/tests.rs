use super::*;
use sessile_device::{OutputKind, OutputSet};
use tokio::sync::oneshot;

fn entry(tokens: usize, priority: u8) -> (Entry, oneshot::Receiver<Reply>) {
    let (reply, answer) = oneshot::channel();
    let now = Instant::now();
    let entry = Entry {
        model: ModelIndex(0),
        tokens: vec![0; tokens],
        outputs: OutputSet::default().with(OutputKind::Mean),
        generation: None,
        priority,
        deadline: None,
        cancelled: None,
        on_token: None,
        told: 0,
        is_bulk: false,
        is_rest: false,
        attempts: 0,
        goes_alone: false,
        arrived: now,
        in_line_since: now,
        reply,
    };
    (entry, answer)
}

fn queue(capacity_tokens: usize) -> Queue {
    let policy = QueuePolicy {
        capacity_tokens,
        max_fill_wait: Duration::from_millis(50),
        max_batch_requests: usize::MAX,
    };
    Queue::new(policy, 1, Arc::default())
}

fn taken_after(queue: &Queue, budget: usize, last: LastBatch) -> Vec<usize> {
    let mut batch = Vec::new();
    queue.take(0, budget, last, &mut batch);
    batch.iter().map(|entry| entry.tokens.len()).collect()
}

fn taken(queue: &Queue, budget: usize) -> Vec<usize> {
    taken_after(queue, budget, LastBatch::default())
}

fn push(queue: &Queue, entry: Entry) {
    queue.try_push(entry).map_err(|(_, error)| error).unwrap();
}

#[test]
fn batches_are_filled_by_tokens_and_short_ones_go_first() {
    let queue = queue(1000);
    let mut answers = Vec::new();
    for tokens in [60, 50, 30, 20, 10] {
        let (entry, answer) = entry(tokens, 1);
        push(&queue, entry);
        answers.push(answer);
    }
    assert_eq!(taken(&queue, 100), [10, 20, 30]);
    assert_eq!(taken(&queue, 100), [50]);
    assert_eq!(taken(&queue, 100), [60]);
    assert_eq!(queue.queued_tokens(), 0);
}

#[test]
fn large_jobs_keep_their_order() {
    let queue = queue(1000);
    let mut answers = Vec::new();
    for tokens in [60, 50, 30, 20, 10] {
        let (mut entry, answer) = entry(tokens, 1);
        entry.is_bulk = true;
        push(&queue, entry);
        answers.push(answer);
    }
    // 60 + 30 + 10 fill the budget; 50 and 20 stay in order for the next.
    assert_eq!(taken(&queue, 100), [60, 30, 10]);
    assert_eq!(taken(&queue, 100), [50, 20]);
}

#[test]
fn a_long_sequence_grows_old_and_goes() {
    let queue = queue(10_000);
    let (mut long, _a) = entry(400, 1);
    let (short, _b) = entry(10, 1);
    long.in_line_since -= WAIT_FOR_400_TOKENS;
    push(&queue, long);
    push(&queue, short);
    assert_eq!(taken(&queue, 100), [400]);
}

#[test]
fn what_is_not_urgent_grows_old_and_goes() {
    let queue = queue(10_000);
    let (mut patient, _a) = entry(20, 2);
    let (urgent, _b) = entry(20, 0);
    patient.in_line_since -= Duration::from_secs(21);
    push(&queue, patient);
    push(&queue, urgent);
    let mut batch = Vec::new();
    queue.take(0, 20, LastBatch::default(), &mut batch);
    assert_eq!(batch[0].priority, 2);
}

/// More than a sequence of 400 tokens waits for one of 10.
const WAIT_FOR_400_TOKENS: Duration = Duration::from_millis(200);

#[test]
fn a_batch_has_at_most_so_many_requests() {
    let mut queue = queue(1000);
    queue.policy.max_batch_requests = 2;
    let mut answers = Vec::new();
    for _ in 0..5 {
        let (entry, answer) = entry(3, 1);
        push(&queue, entry);
        answers.push(answer);
    }
    assert_eq!(taken(&queue, 100), [3, 3]);
}

#[test]
fn a_sequence_over_the_budget_goes_alone() {
    let queue = queue(1000);
    let (long, _answer) = entry(300, 0);
    let (short, _other) = entry(5, 1);
    push(&queue, long);
    push(&queue, short);
    assert_eq!(taken(&queue, 100), [300]);
    assert_eq!(taken(&queue, 100), [5]);
}

#[test]
fn what_failed_before_goes_alone() {
    let queue = queue(1000);
    let mut answers = Vec::new();
    for goes_alone in [false, true, false] {
        let (mut entry, answer) = entry(5, 1);
        entry.goes_alone = goes_alone;
        push(&queue, entry);
        answers.push(answer);
    }
    assert_eq!(taken(&queue, 100), [5, 5]);
    assert_eq!(taken(&queue, 100), [5]);
}

#[test]
fn urgent_requests_go_first() {
    let queue = queue(1000);
    let (late, _a) = entry(40, 2);
    let (soon, _b) = entry(70, 0);
    push(&queue, late);
    push(&queue, soon);
    assert_eq!(taken(&queue, 100), [70]);
}

#[test]
fn nobody_waits_for_a_lane_that_answered_one() {
    let queue = queue(1000);
    let (one, _a) = entry(5, 1);
    push(&queue, one);
    let last = LastBatch {
        requests: 1,
        tokens: 50,
        took: Duration::from_secs(100),
    };
    let begun = Instant::now();
    assert_eq!(taken_after(&queue, 100, last), [5]);
    assert!(begun.elapsed() < FILL_QUIET);
}

#[test]
fn a_lane_that_answered_several_waits_for_their_senders() {
    let queue = queue(1000);
    let (one, _a) = entry(5, 1);
    let (two, _b) = entry(45, 1);
    push(&queue, one);
    let last = LastBatch {
        requests: 2,
        tokens: 50,
        took: Duration::from_secs(1),
    };
    std::thread::scope(|scope| {
        let lane = scope.spawn(|| taken_after(&queue, 100, last));
        push(&queue, two);
        let batch = lane.join().unwrap();
        assert!(batch == [5, 45] || batch == [5], "{batch:?}");
    });
}

#[test]
fn a_full_queue_says_so_and_keeps_nothing() {
    let queue = queue(100);
    let (first, _a) = entry(80, 1);
    push(&queue, first);
    let (second, _b) = entry(30, 1);
    let (_, error) = queue.try_push(second).err().unwrap();
    assert_eq!(error.kind(), RequestErrorKind::Overloaded);
    assert_eq!(queue.queued_tokens(), 80);
}

#[test]
fn those_who_left_make_room() {
    let queue = queue(100);
    let (first, answer) = entry(80, 1);
    push(&queue, first);
    drop(answer);
    queue.lock().last_sweep -= SWEEP_INTERVAL;
    let (second, _b) = entry(30, 1);
    push(&queue, second);
    assert_eq!(queue.queued_tokens(), 30);
}

#[test]
fn nobody_computes_for_those_who_left() {
    let queue = queue(1000);
    let (gone, answer) = entry(40, 1);
    let (late, mut deadline) = entry(40, 1);
    let (stays, _c) = entry(7, 1);
    drop(answer);
    let late = Entry {
        deadline: Some(Instant::now() - Duration::from_millis(1)),
        ..late
    };
    for entry in [gone, late, stays] {
        push(&queue, entry);
    }
    assert_eq!(taken(&queue, 100), [7]);
    let error = deadline.try_recv().unwrap().0.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::Deadline);
}

#[test]
fn the_last_lane_to_leave_answers_everybody() {
    let queue = queue(1000);
    let (waiting, mut answer) = entry(40, 1);
    let (pinned, mut pinned_answer) = entry(3, 1);
    push(&queue, waiting);
    queue.push_pinned(0, pinned).unwrap();
    queue.leave(0);
    for answer in [&mut answer, &mut pinned_answer] {
        let error = answer.try_recv().unwrap().0.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::NoDevice);
    }
    let (after, _b) = entry(1, 1);
    assert!(queue.try_push(after).is_err());
}

#[test]
fn the_rest_of_large_requests_leaves_room_for_small_ones() {
    let queue = queue(200);
    let mut answers = Vec::new();
    for _ in 0..10 {
        let (mut entry, answer) = entry(20, 1);
        entry.is_rest = true;
        queue.push_rest(entry).unwrap();
        answers.push(answer);
    }
    assert_eq!(queue.queued_tokens(), 200);
    assert_eq!(queue.queued_requests(), 10);
    // A quarter of the queue is theirs; a small request finds room and goes first.
    let (small, _answer) = entry(30, 1);
    push(&queue, small);
    assert_eq!(taken(&queue, 50), [30, 20]);
    // Whoever hung up gives its place to the next.
    drop(answers.drain(1..4));
    assert_eq!(taken(&queue, 1000), [20, 20]);
    assert_eq!(taken(&queue, 1000), [20, 20]);
    assert_eq!(taken(&queue, 1000), [20, 20]);
    assert_eq!(queue.queued_tokens(), 0);
}

#[test]
fn the_rest_is_answered_when_the_last_lane_leaves() {
    let queue = queue(10);
    let (mut entry, mut answer) = entry(20, 1);
    entry.is_rest = true;
    let (mut other, mut other_answer) = super::tests::entry(20, 1);
    other.is_rest = true;
    queue.push_rest(entry).unwrap();
    queue.push_rest(other).unwrap();
    queue.leave(0);
    for answer in [&mut answer, &mut other_answer] {
        let (answer, _) = answer.try_recv().unwrap();
        assert_eq!(answer.unwrap_err().kind(), RequestErrorKind::NoDevice);
    }
}
