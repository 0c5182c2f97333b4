//! What a lone sequence takes in the engine itself: sequences one after the other through a pool,
//! nothing else in it. The service's latency with one idle client is compared with this.
//!
//! `cargo run --release -p sessile-runtime --example alone -- MODEL SEQUENCES SECONDS DTYPE`, the
//! sequences one a line.

use std::time::{Duration, Instant};

use sessile_device::{ModelIndex, OutputKind, OutputSet};
use sessile_models::Model;
use sessile_runtime::{DTypeChoice, Pool, PoolOptions, PoolRequest};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or(format!("{name} is missing"));
    let files = Model::open(next("MODEL")?.as_ref())?;
    let text = std::fs::read_to_string(next("SEQUENCES")?)?;
    let duration = Duration::from_secs_f64(next("SECONDS")?.parse()?);
    let dtype: DTypeChoice = next("DTYPE")?.parse()?;
    let tokenizer = files.tokenizer().clone();
    let wanted = OutputSet::default().with(OutputKind::MeanAll);
    let options = PoolOptions {
        outputs: wanted,
        dtype,
        max_tokens: Some(1026),
        ..PoolOptions::default()
    };
    let pool = Pool::new(&[files], &options)?;
    let ask = |sequence: &str| {
        let tokens = tokenizer.encode(sequence.as_bytes()).tokens;
        let begun = Instant::now();
        pool.submit_waiting(PoolRequest::new(ModelIndex(0), tokens, wanted))
            .wait()
            .map(|_| begun.elapsed())
    };
    let sequences: Vec<&str> = text.lines().collect();
    for sequence in sequences.iter().take(20) {
        ask(sequence)?;
    }
    let mut times = Vec::new();
    let end = Instant::now() + duration;
    for sequence in sequences.iter().cycle() {
        if Instant::now() >= end {
            break;
        }
        times.push(ask(sequence)?);
    }
    times.sort_unstable();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let p50 = times.get(times.len() / 2).copied().unwrap_or_default();
    let mean = times.iter().sum::<Duration>() / times.len().max(1) as u32;
    // What it prints is its whole purpose.
    #[allow(clippy::print_stdout)]
    {
        println!(
            "{{\"sequences\": {}, \"p50_ms\": {:.3}, \"mean_ms\": {:.3}}}",
            times.len(),
            milliseconds(p50),
            milliseconds(mean)
        );
    }
    Ok(())
}
