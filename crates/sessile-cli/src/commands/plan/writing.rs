//! The plan of a model that writes: instances, and what they cost.

use std::io::{Write, stdout};
use std::process::ExitCode;

use sessile_device::GenerationSettings;
use sessile_models::Model;
use sessile_models::generation::SettingsOverrides;
use sessile_runtime::instances::{ESTIMATED_MODEL_GIB, InstanceFormula};
use sessile_runtime::{
    InstanceReason, Instances, MemoryPlan, ModelPlan, PoolOptions, Resident, WritingOptions,
    WritingPlan, plan_pool,
};

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
    let settings = settings.map_err(|error| Failure::setting(&error))?;
    let options = PoolOptions {
        devices: pool.devices.clone(),
        threads: pool.threads,
        dtype: pool.dtype,
        memory: writing.memory,
        memory_reserve: pool.memory_reserve,
        writing: WritingOptions {
            instances: writing.limits.instances(pool.instances),
            ..WritingOptions::of(settings.clone())
        },
        ..PoolOptions::default()
    };
    let plans = plan_pool([Resident::Writes(files)], &options)?;
    for plan in &plans {
        plan.check()?;
    }
    let planned = plans.iter().flat_map(|device| {
        let lanes = device.models.iter();
        lanes.filter_map(move |model| {
            Some(Planned {
                device,
                model,
                lane: model.writing.as_ref()?,
            })
        })
    });
    let is_usual = options.writing.instances == Instances::Usual;
    let size = writing.estimated_model_size;
    let mut out = stdout().lock();
    if arguments.json {
        let plans: Vec<_> = planned
            .map(|plan| plan.json(&settings, is_usual, size))
            .collect();
        writeln!(out, "{:#}", serde_json::Value::from(plans))?;
    } else {
        for plan in planned {
            plan.print(&settings, is_usual, size, &mut out)?;
        }
    }
    Ok(ExitCode::from(DONE))
}

/// The lane of a model that writes on a device.
struct Planned<'a> {
    device: &'a MemoryPlan,
    model: &'a ModelPlan,
    lane: &'a WritingPlan,
}

impl Planned<'_> {
    /// What the worker's formula is given here.
    fn formula(&self, size: Option<u64>) -> InstanceFormula {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        InstanceFormula {
            total: gib(self.device.available_bytes.unwrap_or(0)),
            // What is taken is no part of what is left.
            allocated: 0.0,
            buffer: gib(self.device.reserve_bytes),
            model: size.map_or(ESTIMATED_MODEL_GIB, gib),
            cap: u64::try_from(self.lane.most).ok(),
        }
    }

    fn reason(&self, is_usual: bool) -> String {
        match self.lane.reason {
            InstanceReason::Asked => "so many were asked for".to_owned(),
            InstanceReason::Limit if is_usual => {
                "no more unless asked for: the arithmetic takes as long as reading the weights then"
                    .to_owned()
            }
            InstanceReason::Limit => "the limit that was given; memory would hold more".to_owned(),
            InstanceReason::Memory => {
                let plan = self.device;
                let kept = plan.total_bytes().saturating_add(plan.reserve_bytes);
                let left = plan.available_bytes.unwrap_or(0).saturating_sub(kept);
                format!(
                    "memory: one more takes {}, {} are left beside the reserve",
                    bytes(self.lane.instance_bytes),
                    bytes(left)
                )
            }
        }
    }

    fn json(
        &self,
        settings: &GenerationSettings,
        is_usual: bool,
        size: Option<u64>,
    ) -> serde_json::Value {
        let Planned {
            device,
            model,
            lane,
        } = self;
        let formula = self.formula(size);
        serde_json::json!({
            "device": device.device.to_string(),
            "dtype": device.dtype.name(),
            "threads": lane.threads,
            "instances": lane.instances,
            "reason": self.reason(is_usual),
            "weight_bytes": model.weight_bytes,
            "cache_bytes": lane.cache_bytes,
            "workspace_bytes": lane.workspace_bytes(),
            "bytes_of_one_more_instance": lane.instance_bytes,
            "total_bytes": device.total_bytes(),
            "reserve_bytes": device.reserve_bytes,
            "available_bytes": device.available_bytes,
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
                "name": model.name,
                "architecture": model.info.architecture,
                "parameters": model.info.parameters,
                "num_beams": settings.num_beams,
                "max_length": settings.max_length,
                "max_source_tokens": model.info.max_tokens,
            },
        })
    }

    fn print(
        &self,
        settings: &GenerationSettings,
        is_usual: bool,
        size: Option<u64>,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        let Planned {
            device,
            model,
            lane,
        } = self;
        writeln!(
            out,
            "{}: {} instances ({})",
            device.device,
            lane.instances,
            self.reason(is_usual)
        )?;
        writeln!(
            out,
            "  {} ({}, {} parameters, {}): {} beams, up to {} tokens of up to {}",
            model.name,
            model.info.architecture,
            count(model.info.parameters),
            device.dtype,
            settings.num_beams,
            count(settings.max_length as u64),
            count(model.info.max_tokens as u64),
        )?;
        writeln!(out, "    weights:   {} once", bytes(model.weight_bytes))?;
        writeln!(
            out,
            "    caches:    {} of all instances",
            bytes(lane.cache_bytes)
        )?;
        writeln!(
            out,
            "    workspace: {} shared by all",
            bytes(lane.workspace_bytes())
        )?;
        writeln!(out, "    one more:  {}", bytes(lane.instance_bytes))?;
        writeln!(out, "  in all:    {}", bytes(device.total_bytes()))?;
        writeln!(out, "  reserve:   {}", bytes(device.reserve_bytes))?;
        if let Some(available) = device.available_bytes {
            writeln!(out, "  left:      {}", bytes(available))?;
        }
        let formula = self.formula(size);
        let limit = match formula.cap {
            Some(cap) if cap < formula.fitting() => format!(", {cap} with the limit"),
            _ => String::new(),
        };
        writeln!(
            out,
            "  by formula: {} instances{limit}: max(1, ({:.2} - {:.2} - {:.2}) / {:.2}) GiB, each \
             with weights of its own",
            formula.fitting(),
            formula.total,
            formula.allocated,
            formula.buffer,
            formula.model,
        )
    }
}
