//! ModernBERT with its two heads against the reference outputs, on every instruction set of this
//! machine.

use crate::golden::modernbert::{MODEL, in_16_bits, in_f32};
use crate::golden::run::places;
use sessile_device::{DType, OutputKind};
use sessile_models::modern_bert::{HeadMap, HeadNames};
use sessile_models::{Model, ModelErrorKind, OpenOptions};

#[test]
fn encoder_and_heads_in_f32() {
    places().for_each(|place| in_f32(&place));
}

#[test]
fn encoder_and_heads_in_16_bits() {
    for place in places() {
        for &dtype in place.formats_of_16_bits() {
            in_16_bits(&place, dtype);
        }
    }
}

#[test]
fn a_map_says_which_tensors_are_the_head() {
    let open = |classifier: &str| {
        let map = HeadMap {
            three_di: Some(HeadNames {
                dense: Some("head.dense".to_owned()),
                norm: Some("head.norm".to_owned()),
                classifier: classifier.to_owned(),
            }),
            twelve_state: None,
        };
        let options = OpenOptions {
            head_map: Some(map),
            ..OpenOptions::default()
        };
        Model::open_with(&crate::golden::path(MODEL), &options).unwrap()
    };
    let device = sessile_cpu::CpuDevice::new(sessile_cpu::CpuOptions::default()).unwrap();
    let (model, report) = open("classifier").load(&device, DType::F32, 64).unwrap();
    assert!(model.info().outputs.contains(OutputKind::ThreeDi));
    assert!(!model.info().outputs.contains(OutputKind::TwelveState));
    assert_eq!(report.assumed, Vec::<String>::new());
    assert_eq!(report.ignored, Vec::<String>::new());
    let error = open("model.layers.0.mlp.Wi").load(&device, DType::F32, 64);
    assert_eq!(error.err().unwrap().kind(), ModelErrorKind::Mismatch);

    let (_, report) = Model::open(&crate::golden::path(MODEL))
        .unwrap()
        .load(&device, DType::F32, 64)
        .unwrap();
    assert_eq!(report.assumed.len(), 2, "{:?}", report.assumed);
}
