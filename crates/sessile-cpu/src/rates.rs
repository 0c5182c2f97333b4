//! How fast the products of each number format are on this machine, measured by the kernels that the
//! models run: what decides between the formats where nobody names one.

use std::time::Duration;

use sessile_device::{
    Buf, DType, Device, DeviceError, Epilogue, Format, HostTensor, Lane, LaneSpec, RowSource,
    WeightLayout,
};

use crate::device::{CpuDevice, CpuOptions};
use crate::isa::Isa;
use crate::lane::CpuLane;
use crate::weight::CpuWeight;

/// Inputs and outputs of the product that is measured: a small model's.
const WIDTH: usize = 512;

/// Rows of it: whole tiles of every kernel, and a fraction of a millisecond at the least good rate.
const ROWS: usize = 168;

/// Turns of each format, of which the fastest counts.
const TURNS: usize = 12;

/// The least advantage for which bf16 is worth its rounding. On a quiet machine a ratio is 0.9 to 1.0 where
/// values are widened, and it should be near 2 with fast pairs and far above on tiles, neither of which was at
/// hand; a busy machine has moved it by 0.3.
const WORTH: f64 = 1.4;

/// Operations per second of one thread in the products of each number format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// In f32.
    pub f32: f64,
    /// In bf16.
    pub bf16: f64,
}

impl Rates {
    /// Measures both in turn, for some milliseconds, with the kernels of `isa`.
    ///
    /// # Errors
    ///
    /// What keeps a device or a lane from being made: no memory, or no such instruction set.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_cpu::{Isa, Rates};
    ///
    /// let rates = Rates::measure(Isa::detect()?)?;
    /// assert!(rates.f32 > 0.0 && rates.bf16 > 0.0);
    /// # Ok::<(), sessile_device::DeviceError>(())
    /// ```
    pub fn measure(isa: Isa) -> Result<Rates, DeviceError> {
        let device = CpuDevice::new(CpuOptions {
            isa: Some(isa),
            threads: 1,
        })?;
        let mut products = [
            Product::new(&device, DType::F32)?,
            Product::new(&device, DType::Bf16)?,
        ];
        let mut best = [Duration::MAX; 2];
        // The first turn only warms up.
        for turn in 0..=TURNS {
            for (product, best) in products.iter_mut().zip(&mut best) {
                let time = product.time();
                if turn > 0 {
                    *best = time.min(*best);
                }
            }
        }
        products.iter_mut().try_for_each(Product::check)?;
        let operations = (2 * ROWS * WIDTH * WIDTH) as f64;
        let [f32, bf16] = best.map(|time| operations / time.as_secs_f64().max(1e-9));
        Ok(Rates { f32, bf16 })
    }

    /// The number format to take: bf16 where it is clearly faster, else f32, which rounds less.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_cpu::Rates;
    /// use sessile_device::DType;
    ///
    /// assert_eq!(Rates { f32: 1e11, bf16: 1.1e11 }.choice(), DType::F32);
    /// assert_eq!(Rates { f32: 1e11, bf16: 1.8e11 }.choice(), DType::Bf16);
    /// ```
    pub fn choice(&self) -> DType {
        if self.bf16 >= WORTH * self.f32 {
            DType::Bf16
        } else {
            DType::F32
        }
    }

    /// Why [`Rates::choice`] takes what it takes, for people.
    pub fn reason(&self) -> String {
        let ratio = self.bf16 / self.f32;
        match self.choice() {
            DType::Bf16 => format!("auto takes bf16, which is {ratio:.2} times as fast"),
            _ => format!(
                "auto takes f32: bf16 is {ratio:.2} times as fast, and is worth its rounding from {WORTH} on"
            ),
        }
    }
}

/// One product with everything it needs.
struct Product {
    lane: CpuLane,
    weight: CpuWeight,
    from: Buf,
    x: Buf,
    out: Buf,
}

impl Product {
    fn new(device: &CpuDevice, dtype: DType) -> Result<Self, DeviceError> {
        let mut state = 88_172_645_463_325_252_u64;
        // Random, because the clock of a processor follows the bits that switch.
        let mut values = |count: usize| -> Vec<f32> {
            let value = |_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
            };
            (0..count).map(value).collect()
        };
        let weight = HostTensor::new(vec![WIDTH, WIDTH], values(WIDTH * WIDTH));
        let parts: [&dyn RowSource; 1] = [&weight];
        let weight = device.pack(&parts, WeightLayout::Linear, dtype)?;
        let mut lane = device.lane(&LaneSpec {
            arena_bytes: 4 * (ROWS + 32) * WIDTH * size_of::<f32>(),
            threads: 1,
        })?;
        let rows = HostTensor::new(vec![ROWS, WIDTH], values(ROWS * WIDTH));
        let parts: [&dyn RowSource; 1] = [&rows];
        let rows = device.pack(&parts, WeightLayout::TableF32, dtype)?;
        let ids: Vec<u32> = (0..ROWS as u32).collect();
        let ids = lane.upload_indices(&ids)?;
        let from = lane.buffer(ROWS, WIDTH, Format::F32)?;
        lane.gather(ids, &rows, None, from);
        let x = lane.buffer(ROWS, WIDTH, Format::Operand(dtype))?;
        lane.convert(from, x);
        let out = lane.buffer(ROWS, WIDTH, Format::Heads(dtype))?;
        Ok(Product {
            lane,
            weight,
            from,
            x,
            out,
        })
    }

    fn time(&mut self) -> Duration {
        let start = thread_time();
        self.lane
            .linear(self.x, &self.weight, None, Epilogue::Store, self.out);
        thread_time().saturating_sub(start)
    }

    /// Whether everything worked: a lane says so when it is waited for.
    fn check(&mut self) -> Result<(), DeviceError> {
        let ticket = self.lane.read(self.from);
        self.lane.wait(ticket, &mut Vec::new())
    }
}

/// What this thread has had of the processor: other programs do not show in it.
#[cfg(unix)]
fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the system writes one timespec through a pointer to one. On failure it stays zero, and
    // so do all rates, alike.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}

#[cfg(not(unix))]
fn thread_time() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::isas;

    #[test]
    fn every_level_has_rates_and_widened_values_never_win() {
        for isa in isas() {
            let rates = Rates::measure(isa).unwrap();
            assert!(rates.f32.is_finite() && rates.f32 > 0.0, "{isa} {rates:?}");
            assert!(
                rates.bf16.is_finite() && rates.bf16 > 0.0,
                "{isa} {rates:?}"
            );
            assert!(rates.reason().contains(rates.choice().name()));
            // What is computed in f32 either way is no faster for being rounded first.
            if isa < Isa::Avx512Bf16 {
                assert_eq!(rates.choice(), DType::F32, "{isa} {rates:?}");
            }
        }
    }
}
