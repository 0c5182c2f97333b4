//! A sequence's answer is the same to the byte, whatever is computed beside it and wherever.

use crate::golden::company::{CASES, Case, sequences};
use sessile_device::{DType, ModelIndex, OutputSet};
use sessile_models::Model;
use sessile_runtime::{DTypeChoice, Pool, PoolOptions, PoolRequest};

/// Odd lengths, and those around the kernels' blocks.
const LENGTHS: [usize; 23] = [
    1, 2, 3, 13, 14, 15, 16, 17, 29, 30, 31, 33, 62, 63, 64, 65, 100, 127, 190, 253, 255, 300, 510,
];

/// Every answer as bytes, in the order of `order`.
fn bytes(
    case: &Case,
    dtype: DType,
    budget: usize,
    lanes: usize,
    threads: usize,
    order: &[usize],
) -> Vec<Vec<u8>> {
    let wanted: OutputSet = case.outputs.iter().copied().collect();
    let files = Model::open(&crate::golden::path(case.model)).unwrap();
    let tokenizer = files.tokenizer().clone();
    let options = PoolOptions {
        dtype: DTypeChoice::Only(dtype),
        token_budget: Some(budget),
        instances: Some(lanes),
        threads: Some(threads),
        outputs: wanted,
        ..PoolOptions::default()
    };
    let pool = Pool::new(&[files], &options).unwrap();
    let sequences = sequences(case.letters, &LENGTHS);
    let requests = order.iter().map(|&index| {
        let tokens = tokenizer.encode(sequences[index].as_bytes()).tokens;
        (index, PoolRequest::new(ModelIndex(0), tokens, wanted))
    });
    let mut answers = vec![Vec::new(); sequences.len()];
    for (index, answer) in pool.infer_many(requests) {
        let output = answer.unwrap();
        assert_eq!(output.parts().len(), case.outputs.len());
        answers[index] = output
            .parts()
            .iter()
            .flat_map(|(_, tensor)| tensor.data.iter().flat_map(|value| value.to_le_bytes()))
            .collect();
    }
    assert_eq!(pool.metrics().model_loads.get(), 1);
    answers
}

fn check(case: &Case, dtype: DType) {
    let forward: Vec<usize> = (0..LENGTHS.len()).collect();
    let backward: Vec<usize> = forward.iter().rev().copied().collect();
    let expected = bytes(case, dtype, 16_384, 1, 1, &forward);
    assert!(expected.iter().all(|answer| !answer.is_empty()));
    // Budget, lanes, threads, order.
    let cases = [
        (256, 1, 1, &forward),
        (256, 2, 2, &backward),
        (16_384, 2, 2, &forward),
        (16_384, 1, 1, &backward),
        (1000, 1, 2, &forward),
        (16, 1, 1, &forward),
    ];
    for (budget, lanes, threads, order) in cases {
        let found = bytes(case, dtype, budget, lanes, threads, order);
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(
                found == expected,
                "{}, {dtype}: sequence {index} differs with budget {budget}, {lanes} lanes, \
                 {threads} threads",
                case.model
            );
        }
    }
    // Alone, without any company.
    for index in [0, 7, 22] {
        assert!(
            bytes(case, dtype, 2048, 1, 1, &[index])[index] == expected[index],
            "{}: {index} alone",
            case.model
        );
    }
}

#[test]
fn answers_do_not_depend_on_their_company_in_f32() {
    CASES.iter().for_each(|case| check(case, DType::F32));
}

#[test]
fn answers_do_not_depend_on_their_company_in_bf16() {
    CASES.iter().for_each(|case| check(case, DType::Bf16));
}
