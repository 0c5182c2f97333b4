//! The driver's error codes: their names, what a user can do, and what is lost with them.

use sessile_device::{DeviceError, DeviceErrorKind};

/// A code that a driver function returned, never success. The numbers are those of `CUresult`
/// (CUDA driver API, "Data types used by CUDA driver").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub(crate) i32);

/// Codes after which the context, and so the GPU, is of no use to this process.
const STICKY: [i32; 22] = [
    4, 46, 201, 214, 220, 226, 227, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 802,
    806, 810, 999,
];

impl Code {
    /// The function's result as a `Result`.
    pub(crate) fn check(result: i32) -> Result<(), Code> {
        match result {
            0 => Ok(()),
            code => Err(Code(code)),
        }
    }

    /// The code as the driver's headers call it, where this program acts on it.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            1 => "invalid value",
            2 => "out of memory",
            3 => "not initialized",
            4 => "driver shutting down",
            34 => "stub library",
            46 => "device busy or unavailable",
            100 => "no CUDA device",
            101 => "invalid device ordinal",
            200 => "invalid kernel image",
            201 => "invalid context",
            209 => "no kernel image for this GPU",
            214 => "uncorrectable ECC error",
            218 => "invalid PTX",
            220 => "uncorrectable NVLink error",
            221 => "no PTX compiler",
            222 => "PTX is newer than the driver",
            304 => "operating system call failed",
            500 => "not found",
            700 => "illegal memory access",
            701 => "too many resources for a launch",
            702 => "launch timed out",
            709 => "context is destroyed",
            710 => "assertion in a kernel",
            715 => "illegal instruction",
            716 => "misaligned address",
            719 => "launch failed",
            800 => "not permitted",
            801 => "not supported",
            802 => "system not ready",
            803 => "driver and kernel module do not match",
            804 => "forward compatibility is not supported on this GPU",
            999 => "unknown error",
            _ => "error",
        }
    }

    /// What a user can do when the driver does not start with this code.
    pub(crate) fn hint(self) -> Option<&'static str> {
        Some(match self.0 {
            34 => {
                "this libcuda.so.1 is the stub of the CUDA toolkit: put the driver's library first \
                 in LD_LIBRARY_PATH, or take the toolkit's `stubs` folder out of it"
            }
            46 => "another process holds the GPU alone, or a job manager does not lend it",
            100 => {
                "the driver is there and lends no GPU: in a container start with `--gpus all`, in \
                 a SLURM job ask for one (`--gpus 1`), else look at CUDA_VISIBLE_DEVICES"
            }
            304 | 999 => {
                "the kernel module may not be loaded: `nvidia-smi` or a restart of the machine \
                 tells; in a container look at /dev/nvidia*"
            }
            802 => "the fabric manager of the NVSwitch may not be running (nvidia-fabricmanager)",
            803 => {
                "the driver was updated while the old kernel module runs: restart the machine; in \
                 a container the host's driver must be the one that is mounted"
            }
            804 => {
                "a `cuda-compat` library is in front of the driver's: take it out of \
                 LD_LIBRARY_PATH"
            }
            _ => return None,
        })
    }

    /// What went wrong while `what` was done.
    pub(crate) fn into_error(self, what: &str) -> DeviceError {
        let kind = match self.0 {
            2 => DeviceErrorKind::OutOfMemory,
            200 | 209 | 218 | 221..=223 | 500 | 701 | 801 => DeviceErrorKind::Unsupported,
            code if STICKY.contains(&code) => DeviceErrorKind::Lost,
            _ => DeviceErrorKind::Misuse,
        };
        DeviceError::new(
            kind,
            format!("{what}: CUDA error {} ({})", self.0, self.name()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_a_caller_can_act_on() {
        let cases = [
            (2, DeviceErrorKind::OutOfMemory),
            (700, DeviceErrorKind::Lost),
            (719, DeviceErrorKind::Lost),
            (214, DeviceErrorKind::Lost),
            (999, DeviceErrorKind::Lost),
            (209, DeviceErrorKind::Unsupported),
            (1, DeviceErrorKind::Misuse),
            (12_345, DeviceErrorKind::Misuse),
        ];
        for (code, kind) in cases {
            let error = Code(code).into_error("a copy");
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(&code.to_string()));
        }
    }
}
