//! Which of the visible GPUs a job may use.
//!
//! `CUDA_VISIBLE_DEVICES` is the driver's own: it hides GPUs and counts the rest from 0, so
//! `cuda:0` is the first of its list. A job manager that lends some GPUs of a machine sets it as
//! a rule, or hides the others by a control group. Where it does neither, what it says in
//! `SLURM_JOB_GPUS` (numbers in the order of the PCI bus, as `nvidia-smi` counts) or `SLURM_GPUS`
//! (how many) is respected here. Sources: "CUDA environment variables" of the CUDA programming
//! guide; the manual pages of `srun` and `sbatch`.

/// What the environment says about GPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visibility {
    /// `CUDA_VISIBLE_DEVICES`.
    pub cuda_visible_devices: Option<String>,
    /// `SLURM_JOB_GPUS`.
    pub slurm_job_gpus: Option<String>,
    /// `SLURM_GPUS`.
    pub slurm_gpus: Option<String>,
}

impl Visibility {
    /// What the environment of this process says.
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok();
        Visibility {
            cuda_visible_devices: variable("CUDA_VISIBLE_DEVICES"),
            slurm_job_gpus: variable("SLURM_JOB_GPUS"),
            slurm_gpus: variable("SLURM_GPUS"),
        }
    }

    /// Why each GPU may not be used; `None` for those that may. `pci_rank[i]` is the place of GPU
    /// *i* on the PCI bus.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_cuda::Visibility;
    ///
    /// let job = Visibility { slurm_job_gpus: Some("1,3".to_owned()), ..Visibility::default() };
    /// let refusals = job.refusals(&[0, 1, 2, 3]);
    /// let allowed: Vec<bool> = refusals.iter().map(Option::is_none).collect();
    /// assert_eq!(allowed, [false, true, false, true]);
    /// ```
    pub fn refusals(&self, pci_rank: &[usize]) -> Vec<Option<String>> {
        let count = pci_rank.len();
        let nothing = vec![None; count];
        if self.cuda_visible_devices.is_some() {
            return nothing;
        }
        let job = self.slurm_job_gpus.as_deref().and_then(numbers);
        if let (Some(text), Some(lent)) = (&self.slurm_job_gpus, job) {
            // As many as there are, or numbers that are not there: a control group has hidden the
            // others and the driver counts anew.
            if lent.len() >= count || lent.iter().any(|&number| number >= count) {
                return nothing;
            }
            let refusal = |rank| {
                (!lent.contains(rank))
                    .then(|| format!("not lent to this job (SLURM_JOB_GPUS={text})"))
            };
            return pci_rank.iter().map(refusal).collect();
        }
        if let (Some(text), Some(lent)) =
            (&self.slurm_gpus, self.slurm_gpus.as_deref().and_then(total))
        {
            let refusal = |index| {
                (index >= lent).then(|| format!("not lent to this job (SLURM_GPUS={text})"))
            };
            return (0..count).map(refusal).collect();
        }
        nothing
    }

    /// What the environment has to do with there being no GPU at all.
    pub fn hides_all(&self) -> Option<&'static str> {
        match self.cuda_visible_devices.as_deref().map(str::trim) {
            Some("") => Some("CUDA_VISIBLE_DEVICES is empty and hides every GPU"),
            // SLURM says `NoDevFiles` in a job without a GPU.
            Some(list) if list.starts_with('-') || list == "NoDevFiles" => {
                Some("CUDA_VISIBLE_DEVICES hides every GPU")
            }
            _ => None,
        }
    }
}

/// A list such as `0,2` or `0-3`. `None` when it is something else.
fn numbers(text: &str) -> Option<Vec<usize>> {
    /// More than any machine has.
    const MOST: usize = 1024;
    let mut list = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last >= MOST || first > last {
            return None;
        }
        list.extend(first..=last);
    }
    list.sort_unstable();
    list.dedup();
    Some(list)
}

/// A number of GPUs such as `4`, `a100:2` or `a100:2,v100:1`. `None` when it is something else.
fn total(text: &str) -> Option<usize> {
    text.split(',')
        .map(|part| part.rsplit(':').next()?.trim().parse::<usize>().ok())
        .try_fold(0_usize, |sum, count| sum.checked_add(count?))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        cuda: Option<&'static str>,
        job: Option<&'static str>,
        gpus: Option<&'static str>,
        ranks: &'static [usize],
        allowed: &'static [usize],
    }

    #[test]
    fn a_job_uses_what_it_was_lent() {
        let four: &[usize] = &[0, 1, 2, 3];
        let cases = [
            Case {
                cuda: None,
                job: None,
                gpus: None,
                ranks: four,
                allowed: four,
            },
            Case {
                cuda: None,
                job: Some("2"),
                gpus: None,
                ranks: four,
                allowed: &[2],
            },
            Case {
                cuda: None,
                job: Some("0-1,3"),
                gpus: None,
                ranks: four,
                allowed: &[0, 1, 3],
            },
            // The driver's order is not the bus's: number 0 of the job is the last GPU.
            Case {
                cuda: None,
                job: Some("0"),
                gpus: None,
                ranks: &[1, 2, 0],
                allowed: &[2],
            },
            // A control group hides the others already.
            Case {
                cuda: None,
                job: Some("4,5"),
                gpus: None,
                ranks: &[0, 1],
                allowed: &[0, 1],
            },
            Case {
                cuda: None,
                job: Some("6"),
                gpus: None,
                ranks: &[0, 1],
                allowed: &[0, 1],
            },
            // The variable of the driver rules.
            Case {
                cuda: Some("1"),
                job: Some("0"),
                gpus: Some("1"),
                ranks: &[0],
                allowed: &[0],
            },
            Case {
                cuda: None,
                job: None,
                gpus: Some("2"),
                ranks: four,
                allowed: &[0, 1],
            },
            Case {
                cuda: None,
                job: None,
                gpus: Some("a100:1,v:2"),
                ranks: four,
                allowed: &[0, 1, 2],
            },
            Case {
                cuda: None,
                job: None,
                gpus: Some("0"),
                ranks: four,
                allowed: &[],
            },
            // What is not understood hides nothing.
            Case {
                cuda: None,
                job: Some("GPU-1"),
                gpus: None,
                ranks: four,
                allowed: four,
            },
            Case {
                cuda: None,
                job: Some("0-99999999999"),
                gpus: None,
                ranks: four,
                allowed: four,
            },
            Case {
                cuda: None,
                job: Some(""),
                gpus: Some("many"),
                ranks: four,
                allowed: four,
            },
        ];
        for Case {
            cuda,
            job,
            gpus,
            ranks,
            allowed,
        } in cases
        {
            let environment = Visibility {
                cuda_visible_devices: cuda.map(str::to_owned),
                slurm_job_gpus: job.map(str::to_owned),
                slurm_gpus: gpus.map(str::to_owned),
            };
            let refusals = environment.refusals(ranks);
            let found: Vec<usize> = (0..ranks.len())
                .filter(|&at| refusals[at].is_none())
                .collect();
            assert_eq!(found, allowed, "{environment:?} over {ranks:?}");
        }
    }
}
