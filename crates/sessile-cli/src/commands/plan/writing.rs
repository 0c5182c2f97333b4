//! The plan of a model that writes: instances, and what they cost.

use std::io::{Write, stdout};
use std::process::ExitCode;

use sessile_models::Model;
use sessile_models::generation::SettingsOverrides;
use sessile_runtime::instances::{ESTIMATED_MODEL_GIB, InstanceFormula};
use sessile_runtime::{GeneratorOptions, GeneratorPlan, InstanceReason, Instances, plan_generator};

use crate::arguments::PlanArguments;
use crate::exit::{DONE, Failure};
use crate::terminal::{bytes, count};

pub(super) fn run(arguments: &PlanArguments, files: &Model) -> Result<ExitCode, Failure> {
    let (pool, writing) = (&arguments.pool, &arguments.writing);
    let defaults = files.settings()?;
    let overrides = SettingsOverrides {
        num_beams: writing.num_beams,
        max_length: writing.max_length,
        // A length of one's own may lie below the least one of the model's file.
        min_length: writing.max_length.map(|most| most.min(defaults.min_length)),
        ..SettingsOverrides::default()
    };
    let settings = overrides.over(defaults);
    let options = GeneratorOptions {
        devices: pool.devices.clone(),
        threads: pool.threads,
        dtype: pool.dtype,
        instances: writing.limits.instances(pool.instances),
        memory: writing.memory,
        memory_reserve: pool.memory_reserve,
        ..GeneratorOptions::new(settings.map_err(|error| Failure::setting(&error))?)
    };
    let plan = plan_generator(files, &options)?;
    let formula = formula(&plan, &options, writing.estimated_model_size);
    let mut out = stdout().lock();
    if arguments.json {
        let plans = serde_json::Value::from(vec![json(&plan, files, &options, &formula)]);
        writeln!(out, "{plans:#}")?;
    } else {
        print(&plan, files, &options, &formula, &mut out)?;
    }
    Ok(ExitCode::from(DONE))
}

/// What the worker's formula is given here.
fn formula(plan: &GeneratorPlan, options: &GeneratorOptions, size: Option<u64>) -> InstanceFormula {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    InstanceFormula {
        total: gib(plan.available_bytes.unwrap_or(0)),
        // What is taken is no part of what is left.
        allocated: 0.0,
        buffer: gib(plan.reserve_bytes),
        model: size.map_or(ESTIMATED_MODEL_GIB, gib),
        cap: match options.instances {
            Instances::Exactly(number) | Instances::UpTo(number) => u64::try_from(number).ok(),
        },
    }
}

fn reason(plan: &GeneratorPlan, options: &GeneratorOptions) -> String {
    let by_default = options.instances == Instances::default();
    match plan.reason {
        InstanceReason::Asked => "so many were asked for".to_owned(),
        InstanceReason::Limit if by_default => {
            "no more unless asked for: the arithmetic takes as long as reading the weights then"
                .to_owned()
        }
        InstanceReason::Limit => "the limit that was given; memory would hold more".to_owned(),
        InstanceReason::Memory => {
            let kept = plan.total_bytes().saturating_add(plan.reserve_bytes);
            let left = plan.available_bytes.unwrap_or(0).saturating_sub(kept);
            format!(
                "memory: one more takes {}, {} are left beside the reserve",
                bytes(plan.instance_bytes),
                bytes(left)
            )
        }
    }
}

fn json(
    plan: &GeneratorPlan,
    files: &Model,
    options: &GeneratorOptions,
    formula: &InstanceFormula,
) -> serde_json::Value {
    serde_json::json!({
        "device": plan.device.to_string(),
        "dtype": plan.dtype.name(),
        "threads": plan.threads,
        "instances": plan.requests,
        "reason": reason(plan, options),
        "weight_bytes": plan.weight_bytes,
        "cache_bytes": plan.cache_bytes,
        "workspace_bytes": plan.workspace_bytes(),
        "bytes_of_one_more_instance": plan.instance_bytes,
        "total_bytes": plan.total_bytes(),
        "reserve_bytes": plan.reserve_bytes,
        "available_bytes": plan.available_bytes,
        "formula": {
            "total_gib": formula.total,
            "allocated_gib": formula.allocated,
            "buffer_gib": formula.buffer,
            "model_gib": formula.model,
            "cap": formula.cap,
            "fitting": formula.fitting(),
            "instances": formula.instances(),
        },
        "model": {
            "name": files.name(),
            "architecture": plan.info.architecture,
            "parameters": plan.info.parameters,
            "num_beams": options.settings.num_beams,
            "max_length": options.settings.max_length,
            "max_source_tokens": plan.info.max_source_tokens,
        },
    })
}

fn print(
    plan: &GeneratorPlan,
    files: &Model,
    options: &GeneratorOptions,
    formula: &InstanceFormula,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let settings = &options.settings;
    writeln!(
        out,
        "{}: {} instances ({})",
        plan.device,
        plan.requests,
        reason(plan, options)
    )?;
    writeln!(
        out,
        "  {} ({}, {} parameters, {}): {} beams, up to {} tokens of up to {}",
        files.name(),
        plan.info.architecture,
        count(plan.info.parameters),
        plan.dtype,
        settings.num_beams,
        count(settings.max_length as u64),
        count(plan.info.max_source_tokens as u64),
    )?;
    writeln!(out, "    weights:   {} once", bytes(plan.weight_bytes))?;
    writeln!(
        out,
        "    caches:    {} of all instances",
        bytes(plan.cache_bytes)
    )?;
    writeln!(
        out,
        "    workspace: {} shared by all",
        bytes(plan.workspace_bytes())
    )?;
    writeln!(out, "    one more:  {}", bytes(plan.instance_bytes))?;
    writeln!(out, "  in all:    {}", bytes(plan.total_bytes()))?;
    writeln!(out, "  reserve:   {}", bytes(plan.reserve_bytes))?;
    if let Some(available) = plan.available_bytes {
        writeln!(out, "  left:      {}", bytes(available))?;
    }
    let limit = match formula.cap {
        Some(cap) if cap < formula.fitting() => format!(", {cap} with the limit"),
        _ => String::new(),
    };
    writeln!(
        out,
        "  by formula: {} instances{limit}: max(1, ({:.2} - {:.2} - {:.2}) / {:.2}) GiB, each with \
         weights of its own",
        formula.fitting(),
        formula.total,
        formula.allocated,
        formula.buffer,
        formula.model,
    )
}
