use super::*;

const NOW: Duration = Duration::from_millis(1);

fn acquire(output: &Path) -> Result<Lock, PipelineError> {
    Lock::acquire_within(output, &Interrupt::default(), LEASE, NOW)
}

fn leave_behind(output: &Path, holder: &Holder) {
    fs::write(beside(output, ".lock"), holder.text(0)).unwrap();
}

fn files(output: &Path) -> usize {
    fs::read_dir(output.parent().unwrap()).unwrap().count()
}

#[test]
fn one_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let lock = acquire(&output).unwrap();
    let error = acquire(&output).unwrap_err();
    let process = format!("process {} on", std::process::id());
    assert!(error.to_string().contains(&process), "{error}");
    assert_eq!(files(&output), 1);
    drop(lock);
    assert_eq!(files(&output), 0);
    acquire(&output).unwrap();
}

#[test]
fn of_many_at_once_one_gets_it() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let mut gone = Holder::this_process();
    gone.started = gone.started.map(|ticks| ticks + 1);
    for _ in 0..20 {
        leave_behind(&output, &gone);
        let start = std::sync::Barrier::new(8);
        let locks: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        acquire(&output)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let held = locks.iter().flatten().filter(|lock| lock.check().is_ok());
        assert!(held.count() <= 1);
        drop(locks);
        let _ = fs::remove_file(beside(&output, ".lock"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_of_this_machine_that_is_gone_holds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let mut holder = Holder {
        process: child.id(),
        ..Holder::this_process()
    };
    holder.started = None;
    child.wait().unwrap();
    leave_behind(&output, &holder);
    acquire(&output).unwrap();
    // The same number, but another process by now.
    let mut holder = Holder::this_process();
    holder.started = holder.started.map(|ticks| ticks - 1);
    leave_behind(&output, &holder);
    acquire(&output).unwrap();
    assert_eq!(files(&output), 0);
}

#[test]
fn a_lease_on_another_machine_runs_out() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let holder = Holder {
        host: "elsewhere".to_owned(),
        world: "another boot".to_owned(),
        ..Holder::this_process()
    };
    leave_behind(&output, &holder);
    let error = acquire(&output).unwrap_err();
    assert!(error.to_string().contains("on elsewhere"), "{error}");
    assert!(error.hint().unwrap().contains("60 seconds"));

    let lock = beside(&output, ".lock");
    let long_ago = fs::metadata(&lock).unwrap().modified().unwrap() - 2 * LEASE;
    let date = |path: &Path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    };
    date(&lock);
    // It is renewed while one watches.
    let watched = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let watch = Duration::from_secs(5);
            Lock::acquire_within(&output, &Interrupt::default(), LEASE, watch)
        });
        std::thread::sleep(Duration::from_millis(300));
        let renewal = Renewal {
            path: lock.clone(),
            holder: holder.clone(),
            others: Vec::new(),
        };
        assert!(renewal.renew(1));
        watching.join().unwrap()
    });
    assert!(watched.unwrap_err().to_string().contains("on elsewhere"));
    // It is not.
    date(&lock);
    let taken = Lock::acquire_within(&output, &Interrupt::default(), LEASE, 2 * POLL).unwrap();
    taken.check().unwrap();
    // The earlier holder wakes up: it finds out, and leaves the lock alone.
    let renewal = Renewal {
        path: lock,
        holder,
        others: Vec::new(),
    };
    assert!(!renewal.renew(2));
    drop(taken);
    assert_eq!(files(&output), 0);
}

#[test]
fn a_lock_that_makes_no_sense_is_not_waited_for_forever() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    fs::write(beside(&output, ".lock"), "").unwrap();
    assert!(acquire(&output).is_err());
    let taken = Lock::acquire_within(&output, &Interrupt::default(), Duration::ZERO, NOW);
    drop(taken.unwrap());
    assert_eq!(files(&output), 0);
}

#[test]
fn an_interrupt_ends_the_wait() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    fs::write(beside(&output, ".lock"), "").unwrap();
    let interrupt = Interrupt::default();
    interrupt.set(2);
    let error = Lock::acquire_within(&output, &interrupt, Duration::ZERO, WATCH).unwrap_err();
    assert_eq!(error.kind(), PipelineErrorKind::Interrupted);
}

#[test]
fn two_names_of_a_file_have_one_lock_and_leftovers_go() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let other = directory.path().join("other");
    fs::write(&output, "").unwrap();
    std::os::unix::fs::symlink("out", &other).unwrap();
    let mut gone = Holder::this_process();
    gone.started = gone.started.map(|ticks| ticks + 1);
    fs::write(directory.path().join("out.lock.0123"), gone.text(0)).unwrap();
    fs::write(directory.path().join("out.0123abcd.partial"), "half").unwrap();
    fs::write(directory.path().join("out.txt.partial"), "the user's").unwrap();
    let lock = acquire(&output).unwrap();
    assert!(acquire(&other).is_err());
    // The output, its link, the lock, and what is the user's.
    assert_eq!(files(&output), 4);
    drop(lock);
    assert_eq!(files(&output), 3);
}
