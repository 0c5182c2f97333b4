//! `sessile entropy estimate-tokens`

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use sessile_pipelines::bench::{self, BenchOptions, BenchSet};
use sessile_runtime::{PoolOptions, plan_pool};

use super::open_state_model;
use crate::arguments::entropy::EstimateTokensArguments;
use crate::exit::{DONE, Failure};
use crate::signals;
use crate::terminal::{bytes, count};

/// Batches that are tried. More tokens than these gain nothing that could be measured on a CPU.
const TRIED: [usize; 5] = [512, 1024, 2048, 4096, 8192];

/// Largest batch that is looked for in the plan.
const LARGEST: usize = 1 << 20;

/// How long one size of batch is tried.
const TRIAL: Duration = Duration::from_secs(3);

pub(super) fn run(arguments: &EstimateTokensArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let files = [open_state_model(&arguments.model)?];
    let (info, _) = files[0].check()?;
    let wanted = sessile_pipelines::three_di::outputs(files[0].name(), &info)?;
    let with_budget = |tokens| PoolOptions {
        token_budget: Some(tokens),
        outputs: wanted,
        ..arguments.pool.options()
    };
    // The most that memory allows, by doubling and halving.
    let fits = |tokens: usize| -> Result<bool, Failure> {
        let plans = plan_pool(&files, &with_budget(tokens))?;
        Ok(plans.iter().all(|plan| plan.check().is_ok()))
    };
    let smallest = TRIED[0];
    let mut most = 0;
    let mut step = LARGEST;
    while step >= smallest {
        if most + step <= LARGEST && fits(most + step)? {
            most += step;
        }
        step /= 2;
    }
    if most < smallest {
        // Says with numbers what does not fit.
        for plan in plan_pool(&files, &with_budget(smallest))? {
            plan.check()?;
        }
    }
    let plans = plan_pool(&files, &with_budget(most))?;
    let workspace = plans.first().map_or(0, |plan| plan.workspace_bytes);
    let mut rates = Vec::new();
    if arguments.probe {
        for tokens in TRIED.into_iter().filter(|&tokens| tokens <= most) {
            let options = BenchOptions {
                set: BenchSet::Lognormal,
                duration: TRIAL,
                per_op: false,
                pool: with_budget(tokens),
            };
            let report = bench::run(open_state_model(&arguments.model)?, &options, &interrupt)?;
            rates.push((tokens, report.tokens_per_second));
        }
    }
    let fastest = rates
        .iter()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|&(tokens, _)| tokens);
    let mut out = stdout().lock();
    if arguments.json {
        let rates: Vec<_> = rates
            .iter()
            .map(|(tokens, rate)| serde_json::json!({ "token_budget": tokens, "tokens_per_second": rate }))
            .collect();
        let value = serde_json::json!({
            "model": files[0].name(),
            "largest_token_budget": most,
            "workspace_bytes_of_a_lane": workspace,
            "probed": rates,
            "fastest_token_budget": fastest,
        });
        writeln!(out, "{value}")?;
        return Ok(ExitCode::from(DONE));
    }
    writeln!(
        out,
        "largest batch that fits: {} tokens ({} of workspace for each lane)",
        count(most as u64),
        bytes(workspace)
    )?;
    for (tokens, rate) in &rates {
        writeln!(
            out,
            "  --token-budget {tokens}: {} tokens/s",
            count(*rate as u64)
        )?;
    }
    if let Some(tokens) = fastest {
        writeln!(out, "fastest here: --token-budget {tokens}")?;
    }
    Ok(ExitCode::from(DONE))
}
