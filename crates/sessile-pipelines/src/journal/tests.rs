use super::*;
use crate::interrupt::Interrupt;

fn fingerprint() -> Fingerprint {
    Fingerprint::new("test")
        .with_option("outputs", "mean")
        .with_numeric("dtype", "f32")
}

fn lock(output: &Path) -> Lock {
    Lock::acquire(output, &Interrupt::default()).unwrap()
}

fn open(output: &Path) -> Journal {
    Journal::open(lock(output), &fingerprint(), JournalOptions::default()).unwrap()
}

fn entry(number: usize) -> Entry {
    let sequence = vec![b'A'; number + 1];
    Entry {
        id: format!("id{number}"),
        input: InputHash::of(&sequence),
        outcome: if number % 3 == 2 {
            Outcome::Failed(format!("reason {number}"))
        } else {
            Outcome::Done(vec![number as u8; number * 7])
        },
    }
}

fn take(journal: &mut Journal, entry: &Entry) -> Option<Outcome> {
    journal.take(&entry.id, entry.input).unwrap()
}

#[test]
fn a_torn_end_costs_the_torn_entry_only() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let mut journal = open(&output);
    let mut ends = Vec::new();
    for number in 0..6 {
        journal.append(&entry(number)).unwrap();
        journal.commit().unwrap();
        ends.push(fs::metadata(journal.path()).unwrap().len());
    }
    let path = journal.path().to_owned();
    drop(journal);
    let whole = fs::read(&path).unwrap();
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let mut journal = open(&output);
        let expected = ends.iter().filter(|&&end| end <= length as u64).count();
        assert_eq!(journal.remaining(), expected as u64, "{length} bytes");
        for number in 0..expected {
            assert_eq!(
                take(&mut journal, &entry(number)),
                Some(entry(number).outcome)
            );
        }
        for number in expected..6 {
            assert_eq!(take(&mut journal, &entry(number)), None);
            journal.append(&entry(number)).unwrap();
        }
        drop(journal);
        // Gone on with, it is the journal that it would have become.
        assert_eq!(fs::read(&path).unwrap(), whole, "{length} bytes");
    }
}

#[test]
fn a_flipped_byte_is_found_wherever_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let mut journal = open(&output);
    for number in 0..4 {
        journal.append(&entry(number)).unwrap();
    }
    let path = journal.path().to_owned();
    drop(journal);
    let whole = fs::read(&path).unwrap();
    for place in MAGIC_BYTES..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x20;
        fs::write(&path, &damaged).unwrap();
        let mut journal = open(&output);
        assert!(journal.remaining() < 4, "byte {place}");
        for number in 0..journal.remaining() as usize {
            assert_eq!(
                take(&mut journal, &entry(number)),
                Some(entry(number).outcome)
            );
        }
    }
}

const MAGIC_BYTES: usize = frame::MAGIC.len();

#[test]
fn other_inputs_are_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let mut journal = open(&output);
    journal.append(&entry(0)).unwrap();
    journal.append(&entry(1)).unwrap();
    drop(journal);

    let mut journal = open(&output);
    let error = journal.take("other", entry(0).input).unwrap_err();
    assert_eq!(error.kind(), PipelineErrorKind::Input);
    assert!(error.to_string().contains("`id0`"), "{error}");
    drop(journal);
    let mut journal = open(&output);
    let error = journal.take("id0", InputHash::of(b"CHANGED")).unwrap_err();
    assert!(error.to_string().contains("another sequence"), "{error}");
    drop(journal);
    let mut journal = open(&output);
    take(&mut journal, &entry(0));
    let error = journal.check_taken().unwrap_err();
    assert!(error.to_string().contains("ends after 1 record"), "{error}");
}

#[test]
fn results_of_different_kinds_are_not_mixed_unseen() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let mut journal = open(&output);
    journal.append(&entry(0)).unwrap();
    drop(journal);
    let again = |fingerprint: &Fingerprint, allow_mixed| {
        let options = JournalOptions {
            allow_mixed,
            restart: false,
        };
        Journal::open(lock(&output), fingerprint, options).map(|journal| journal.remaining())
    };
    let bf16 = fingerprint().with_numeric("dtype", "bf16");
    let cases = [
        (Fingerprint::new("other"), true, "unfinished `test`"),
        (
            fingerprint().with_option("outputs", "cls"),
            true,
            "outputs mean",
        ),
        (fingerprint().with_option("long", "full"), true, "long none"),
        (bf16.clone(), false, "dtype f32, this one has bf16"),
    ];
    for (fingerprint, allow_mixed, reason) in cases {
        let error = again(&fingerprint, allow_mixed).unwrap_err();
        assert_eq!(error.kind(), PipelineErrorKind::Usage);
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert_eq!(again(&bf16, true).unwrap(), 1);
    // It is mixed now, and either way of going on mixes.
    assert!(again(&bf16, false).is_err());
    assert!(again(&fingerprint(), false).is_err());
    assert_eq!(again(&fingerprint(), true).unwrap(), 1);
    let restart = JournalOptions {
        allow_mixed: false,
        restart: true,
    };
    let journal = Journal::open(lock(&output), &bf16, restart).unwrap();
    assert_eq!(journal.remaining(), 0);
}

#[test]
fn nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let files = || fs::read_dir(directory.path()).unwrap().count();
    drop(open(&output));
    assert_eq!(files(), 0);
    let mut journal = open(&output);
    journal.append(&entry(0)).unwrap();
    journal.finishing().unwrap();
    assert!(Journal::was_finishing(journal.lock.output()).unwrap());
    assert_eq!(files(), 2);
    journal.remove().unwrap();
    assert_eq!(files(), 0);
}

#[test]
fn something_else_of_that_name_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let path = directory.path().join("out.journal");
    fs::write(&path, "dear diary").unwrap();
    let error = Journal::open(lock(&output), &fingerprint(), JournalOptions::default())
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("another version of sessile, or none"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "dear diary");
}

#[test]
fn a_journal_without_its_lock_takes_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let mut journal = open(&output);
    journal.append(&entry(0)).unwrap();
    fs::remove_file(directory.path().join("out.lock")).unwrap();
    let error = journal.finishing().unwrap_err();
    assert!(error.to_string().contains("took over"), "{error}");
}

#[test]
fn a_journal_of_another_layout_is_refused_by_name_and_can_be_restarted() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let mut journal = open(&output);
    journal.append(&entry(0)).unwrap();
    let path = journal.path().to_owned();
    drop(journal);
    let mut earlier = fs::read(&path).unwrap();
    earlier[frame::MAGIC.len() - 1] = b'1';
    fs::write(&path, &earlier).unwrap();
    let open = |options| Journal::open(lock(&output), &fingerprint(), options);
    let error = open(JournalOptions::default()).err().unwrap().to_string();
    assert!(error.contains("another version"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), earlier);
    let restart = JournalOptions {
        restart: true,
        ..JournalOptions::default()
    };
    assert_eq!(open(restart).unwrap().remaining(), 0);
}
