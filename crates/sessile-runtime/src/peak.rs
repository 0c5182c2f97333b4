//! What a device could do at best, measured now: the number that a rate is a fraction of.

use std::time::Duration;

use sessile_cpu::peak;
use sessile_device::{DType, DeviceId};

use crate::discovery::FoundDevice;

/// Floating-point operations per second of products in `dtype` on `threads` threads, measured with
/// random data for about `duration`. `None` where the device has no such instructions. For a GPU
/// the products of one large shape are measured, by the library that the models use.
pub fn peak_flops(
    device: &FoundDevice,
    dtype: DType,
    threads: usize,
    duration: Duration,
) -> Option<f64> {
    match (device.id, dtype) {
        (DeviceId::Cpu, DType::F32) => Some(peak::f32_flops(threads, duration)),
        (DeviceId::Cpu, DType::Bf16) => peak::bf16_flops(threads, duration),
        (DeviceId::Cuda(_), dtype) => {
            let opened = device.cuda.as_ref()?.open(threads).ok()?;
            opened.peak_flops(dtype, duration).ok()
        }
        _ => None,
    }
}

/// Bytes per second that `threads` threads together read from memory, measured with random data
/// that no cache holds, for about `duration`. Zero where it is not measured.
pub fn peak_bytes(device: DeviceId, threads: usize, duration: Duration) -> f64 {
    match device {
        DeviceId::Cpu => peak::memory_bytes(threads, duration),
        _ => 0.0,
    }
}
