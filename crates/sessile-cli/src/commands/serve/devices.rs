//! Devices of a service: `--devices`, and the list of GPUs that ESM2_MultiGPU_Inference is given as
//! `CUDA_VISIBLE_DEVICES`. A GPU that is asked for by name is used, or the start is refused.

use sessile_runtime::{DeviceChoice, discovery};
use sessile_server::options::visible_devices;

use crate::exit::{DEVICE, Failure};

/// What `--devices` and `--cuda-visible-devices` mean together.
pub(super) fn choice(devices: &DeviceChoice, list: Option<&str>) -> Result<DeviceChoice, Failure> {
    let Some(list) = list.map(str::trim) else {
        return Ok(devices.clone());
    };
    // As a variable of this process the driver has read it too: it shows these GPUs alone, and
    // counts them from 0.
    let is_driver_told =
        std::env::var("CUDA_VISIBLE_DEVICES").is_ok_and(|seen| seen.trim() == list);
    let hides_all = matches!(list, "" | "-1");
    let Some(listed) = visible_devices(list).filter(|_| hides_all || !is_driver_told) else {
        return Ok(devices.clone());
    };
    if *devices != DeviceChoice::Auto {
        let hidden = devices
            .gpus()
            .find(|gpu| !listed.gpus().any(|other| other == *gpu));
        return match hidden {
            None => Ok(devices.clone()),
            Some(gpu) => Err(Failure::new(
                DEVICE,
                format!("--devices asks for {gpu}, which CUDA_VISIBLE_DEVICES={list} hides"),
            )
            .with_hint(Some("name the GPU in both, or leave one of them out"))),
        };
    }
    if hides_all {
        return Ok(listed);
    }
    // The numbers are the driver's; they ask for no GPU that is not there.
    let found = discovery::discover()?;
    let is_there = |gpu| found.iter().any(|device| device.id == gpu);
    let there: Vec<_> = listed.gpus().filter(|gpu| is_there(*gpu)).collect();
    if there.is_empty() {
        tracing::warn!(
            list,
            "none of the GPUs of --cuda-visible-devices is there; the service uses what is (name \
             them in --devices to have it refused)"
        );
        return Ok(DeviceChoice::Auto);
    }
    Ok(DeviceChoice::Only(there))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_is_asked_for_is_never_the_processor() {
        let only = |text: &str| text.parse::<DeviceChoice>().unwrap();
        let cases = [
            ("cuda", Some(""), Err("asks for cuda:0")),
            ("cuda", Some("-1"), Err("asks for cuda:0")),
            ("cpu,cuda:1", Some(" "), Err("asks for cuda:1")),
            ("cuda:1", Some("0"), Err("asks for cuda:1")),
            ("cuda:1", Some("0,1"), Ok("cuda:1")),
            ("cuda:1", None, Ok("cuda:1")),
            ("cpu", Some(""), Ok("cpu")),
            ("auto", Some("-1"), Ok("cpu")),
            ("auto", None, Ok("auto")),
        ];
        for (devices, list, expected) in cases {
            match (choice(&only(devices), list), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found, only(expected), "{devices} {list:?}")
                }
                (Err(failure), Err(words)) => {
                    let said = failure.message().unwrap_or_default();
                    assert!(said.contains(words), "{devices} {list:?}: {said}");
                }
                (found, _) => panic!("{devices} {list:?}: {found:?}"),
            }
        }
    }
}
