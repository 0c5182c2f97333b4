//! `sessile plan`

mod writing;

use std::io::{Write, stdout};
use std::process::ExitCode;

use sessile_pipelines::output::output_set;
use sessile_runtime::{MemoryPlan, PoolOptions, plan_pool};

use super::open_model;
use crate::arguments::PlanArguments;
use crate::exit::{DONE, Failure};
use crate::terminal::{bytes, count};

pub(crate) fn run(arguments: &PlanArguments) -> Result<ExitCode, Failure> {
    let model = open_model(&arguments.model)?;
    if !model.description().encodes {
        return writing::run(arguments, &model);
    }
    let options = PoolOptions {
        outputs: output_set(&arguments.outputs),
        ..arguments.pool.options()
    };
    let plans = plan_pool(&[model], &options)?;
    let mut out = stdout().lock();
    if arguments.json {
        let plans: Vec<_> = plans.iter().map(json).collect();
        writeln!(out, "{:#}", serde_json::Value::from(plans))?;
    } else {
        for plan in &plans {
            print(plan, &mut out)?;
        }
    }
    for plan in &plans {
        plan.check()?;
    }
    Ok(ExitCode::from(DONE))
}

fn json(plan: &MemoryPlan) -> serde_json::Value {
    serde_json::json!({
        "device": plan.device.to_string(),
        "dtype": plan.dtype.name(),
        "lanes": plan.lanes,
        "threads_per_lane": plan.threads_per_lane,
        "token_budget": plan.token_budget,
        "weight_bytes": plan.weight_bytes(),
        "workspace_bytes_per_lane": plan.workspace_bytes,
        "workspace_bytes_per_token": plan.workspace_bytes_per_token(),
        "total_bytes": plan.total_bytes(),
        "available_bytes": plan.available_bytes,
        "models": plan.models.iter().map(|model| serde_json::json!({
            "name": model.name,
            "architecture": model.info.architecture,
            "parameters": model.info.parameters,
            "max_tokens": model.info.max_tokens,
            "weight_bytes": model.weight_bytes,
            "workspace_bytes": model.workspace_bytes,
            "flops_per_token": model.flops_per_token,
        })).collect::<Vec<_>>(),
    })
}

fn print(plan: &MemoryPlan, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{}: {} lanes of {} thread(s), {}, batches of {} tokens",
        plan.device,
        plan.lanes,
        plan.threads_per_lane,
        plan.dtype,
        count(plan.token_budget as u64)
    )?;
    for model in &plan.models {
        writeln!(
            out,
            "  {} ({}, {} parameters, up to {} residues)",
            model.name,
            model.info.architecture,
            count(model.info.parameters),
            count((model.info.max_tokens - model.info.special_tokens) as u64)
        )?;
        writeln!(out, "    weights:   {} once", bytes(model.weight_bytes))?;
        writeln!(
            out,
            "    workspace: {} per lane ({} per token)",
            bytes(model.workspace_bytes),
            bytes(plan.workspace_bytes_per_token())
        )?;
        writeln!(
            out,
            "    work:      {:.1} MFLOP per token in the longest sequences",
            model.flops_per_token / 1e6
        )?;
    }
    writeln!(out, "  in all:    {}", bytes(plan.total_bytes()))?;
    if let Some(available) = plan.available_bytes {
        writeln!(out, "  left:      {}", bytes(available))?;
    }
    Ok(())
}
