//! What a job says while it runs and when it is done.

use std::time::Duration;

use sessile_runtime::{DeviceChoice, Pool, WritingReport};

/// How far a job is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Records finished, failed ones included.
    pub records: u64,
    /// Records that failed.
    pub failed: u64,
    /// Records taken from the journal of an earlier run.
    pub resumed: u64,
    /// Tokens computed.
    pub tokens: u64,
    /// Share of the time in which lanes computed, between 0 and 1.
    pub busy: f64,
    /// Records read so far, finished or not.
    pub records_read: u64,
    /// Bytes of the inputs read so far, as stored.
    pub bytes_read: u64,
    /// Bytes of all inputs, as stored; 0 when unknown.
    pub bytes_total: u64,
    /// Since the first record was read.
    pub elapsed: Duration,
}

/// What became of a job.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Records read, failed ones included.
    pub records: u64,
    /// Records without a result.
    pub failed: u64,
    /// Records taken from the journal of an earlier run.
    pub resumed: u64,
    /// Records whose sequence was on its way already, so that it was computed once for all.
    pub shared: u64,
    /// Residues of the records that have one.
    pub residues: u64,
    /// Tokens computed.
    pub tokens: u64,
    /// Time to load the models.
    pub load: Duration,
    /// Time from the first record to the last row.
    pub run: Duration,
    /// Number of models loaded, counted per device.
    pub model_loads: u64,
    /// Share of the run in which lanes computed, between 0 and 1.
    pub busy: f64,
    /// Where the time went.
    pub stages: Stages,
    /// How a model that writes has done.
    pub generation: Option<WritingReport>,
}

impl Summary {
    /// Adds another part of the same job, such as a sample.
    pub fn add(&mut self, other: &Summary) {
        let (ours, theirs) = (self.run.as_secs_f64(), other.run.as_secs_f64());
        let both = (ours + theirs).max(f64::MIN_POSITIVE);
        self.busy = (self.busy * ours + other.busy * theirs) / both;
        self.records += other.records;
        self.failed += other.failed;
        self.resumed += other.resumed;
        self.shared += other.shared;
        self.residues += other.residues;
        self.tokens += other.tokens;
        self.run += other.run;
        let (stages, more) = (&mut self.stages, &other.stages);
        stages.reading += more.reading;
        stages.computing += more.computing;
        stages.waiting += more.waiting;
        stages.journal += more.journal;
        stages.writing += more.writing;
        // The models stay loaded.
        self.load = other.load;
        self.model_loads = other.model_loads;
    }
}

/// Time by stage. Stages run side by side, so they may add up to more than the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stages {
    /// Reading and tokenising.
    pub reading: Duration,
    /// Lanes computing, all together.
    pub computing: Duration,
    /// The job waiting for answers.
    pub waiting: Duration,
    /// Keeping the journal.
    pub journal: Duration,
    /// Writing the outputs.
    pub writing: Duration,
}

/// Somebody who watches a job. The methods are called from the job's own thread.
pub trait Observer {
    /// How far it is; called after every record, so it must be cheap.
    fn progress(&mut self, progress: &Progress) {
        let _ = progress;
    }

    /// A record has no result: its identifier, as far as there is one, where it stands, and why.
    fn failure(&mut self, id: &str, place: &str, reason: &str) {
        let _ = (id, place, reason);
    }

    /// Something a user should know.
    fn note(&mut self, message: &str) {
        let _ = message;
    }
}

/// Nobody watches.
impl Observer for () {}

/// Says which devices were taken, where the choice was left to the program.
pub(crate) fn note_devices(observer: &mut dyn Observer, choice: &DeviceChoice, pool: &Pool) {
    if *choice == DeviceChoice::Auto {
        observer.note(&format!("devices: auto takes {}", pool.devices()));
    }
}

/// How long lanes have computed since a job began: pools outlive jobs.
pub(crate) struct Busy<'a> {
    pool: &'a Pool,
    before: u64,
}

impl<'a> Busy<'a> {
    pub(crate) fn since_now(pool: &'a Pool) -> Self {
        let before = pool.metrics().busy_nanos.get();
        Busy { pool, before }
    }

    /// The time of all lanes together.
    pub(crate) fn time(&self) -> Duration {
        let now = self.pool.metrics().busy_nanos.get();
        Duration::from_nanos(now.saturating_sub(self.before))
    }

    /// The share of the time since then, between 0 and 1.
    pub(crate) fn share(&self, elapsed: Duration) -> f64 {
        let all = elapsed.as_nanos() as f64 * self.pool.lanes().len().max(1) as f64;
        (self.time().as_nanos() as f64 / all.max(1.0)).min(1.0)
    }
}
