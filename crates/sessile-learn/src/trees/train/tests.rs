use proptest::prelude::*;

use super::*;
use crate::trees::NodeKind;

/// Rows whose label follows from two features and some noise.
fn noisy(rows: usize, seed: u64) -> Samples {
    let mut random = Random::new(seed);
    let mut samples = Samples::new(5);
    for _ in 0..rows {
        let mut row = [(); 5].map(|()| random.unit());
        let score = row[0] + row[1] * row[2] + 0.3 * random.unit();
        if random.unit() < 0.1 {
            row[3] = f32::NAN;
        }
        samples.push(&row, score > 0.9);
    }
    samples
}

#[test]
fn it_learns_what_a_constant_can_not() {
    let (rest, test) = noisy(3000, 1).split(0.3, 1);
    let trained = train(&rest, None, &TrainOptions::default(), |_| true).unwrap();
    let metrics = judge(&trained.model, &test);
    let most = test.positives().max(test.len() - test.positives());
    let constant = most as f64 / test.len() as f64;
    assert!(metrics.accuracy > constant + 0.2, "{metrics:?}");
    assert!(metrics.auc.unwrap() > 0.95, "{metrics:?}");
    assert_eq!(trained.model.trees().len(), 100);
    assert!(trained.best.train_loss < 0.2);
}

#[test]
fn training_ends_when_the_loss_falls_no_more() {
    let (rest, held_out) = noisy(800, 2).split(0.25, 3);
    let options = TrainOptions {
        rounds: 500,
        rate: 0.5,
        patience: Some(10),
        ..TrainOptions::default()
    };
    let mut rounds = Vec::new();
    let trained = train(&rest, Some(&held_out), &options, |round| {
        rounds.push(*round);
        true
    })
    .unwrap();
    assert!(trained.stopped_early);
    let losses = rounds.iter().map(|round| round.validation_loss.unwrap());
    let lowest = losses.fold(f64::INFINITY, f64::min);
    assert_eq!(trained.best.validation_loss, Some(lowest));
    assert_eq!(rounds.len(), trained.best.number + 10);
    assert_eq!(trained.model.trees().len(), trained.best.number);
    assert_eq!(
        trained.model.best_iteration(),
        Some(trained.best.number - 1)
    );
    let metrics = trained.validation.unwrap();
    assert!(
        (metrics.loss - lowest).abs() < 1e-6,
        "{} {lowest}",
        metrics.loss
    );
}

#[test]
fn threads_do_not_change_the_model() {
    let samples = noisy(30_000, 4);
    let grow = |threads| {
        let options = TrainOptions {
            rounds: 3,
            threads,
            ..TrainOptions::default()
        };
        train(&samples, None, &options, |_| true).unwrap().model
    };
    let one = grow(1);
    assert_eq!(grow(2), one);
    assert_eq!(grow(64), one);
}

#[test]
fn heavier_positives_are_found_more_often() {
    let (rest, test) = noisy(2000, 5).split(0.3, 1);
    let recall = |positive_weight| {
        let options = TrainOptions {
            rounds: 20,
            depth: 2,
            positive_weight,
            ..TrainOptions::default()
        };
        let trained = train(&rest, None, &options, |_| true).unwrap();
        judge(&trained.model, &test).recall
    };
    assert!(recall(20.0) > recall(1.0));
    assert!(recall(0.05) < recall(1.0));
}

#[test]
fn a_callback_ends_training() {
    let trained = train(&noisy(100, 6), None, &TrainOptions::default(), |round| {
        round.number < 3
    });
    let trained = trained.unwrap();
    assert_eq!((trained.best.number, trained.model.trees().len()), (3, 3));
    assert!(!trained.stopped_early);
}

#[test]
fn what_can_not_be_trained_is_refused() {
    let samples = noisy(50, 7);
    let refused = |change: fn(&mut TrainOptions)| {
        let mut options = TrainOptions::default();
        change(&mut options);
        train(&samples, None, &options, |_| true)
            .unwrap_err()
            .kind()
    };
    let changes: [fn(&mut TrainOptions); 9] = [
        |options| options.rounds = 0,
        |options| options.depth = 0,
        |options| options.depth = 100,
        |options| options.rate = f32::NAN,
        |options| options.lambda = -1.0,
        |options| options.bins = 1,
        |options| options.bins = 1 << 20,
        |options| options.positive_weight = 0.0,
        |options| options.patience = Some(0),
    ];
    for change in changes {
        assert_eq!(refused(change), ModelErrorKind::Unsupported);
    }
    let mut one_class = Samples::new(2);
    assert!(train(&one_class, None, &TrainOptions::default(), |_| true).is_err());
    one_class.push(&[1.0, 2.0], false);
    let error = train(&one_class, None, &TrainOptions::default(), |_| true).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Mismatch);
}

#[test]
fn a_split_takes_rows_once_and_by_its_seed() {
    let mut samples = Samples::new(1);
    for row in 0..100 {
        samples.push(&[row as f32], row % 3 == 0);
    }
    let (left, taken) = samples.clone().split(0.25, 9);
    assert_eq!((left.len(), taken.len()), (75, 25));
    let mut all: Vec<f32> = [&left, &taken]
        .iter()
        .flat_map(|samples| (0..samples.len()).map(|place| samples.row(place)[0]))
        .collect();
    all.sort_unstable_by(f32::total_cmp);
    assert_eq!(all, samples.values);
    assert_eq!(samples.clone().split(0.25, 9).1.values, taken.values);
    assert_ne!(samples.split(0.25, 10).1.values, taken.values);
}

/// The best gain of any split of these rows: every value of every feature, missing left or right.
fn best_gain(samples: &Samples, rows: &[usize], derivatives: &[[f64; 2]], lambda: f64) -> f64 {
    let sums = |rows: &mut dyn Iterator<Item = usize>| {
        rows.fold([0.0, 0.0], |[first, second], row| {
            [first + derivatives[row][0], second + derivatives[row][1]]
        })
    };
    let gain = |[first, second]: [f64; 2]| match second > 0.0 {
        true => first * first / (second + lambda),
        false => 0.0,
    };
    let all = sums(&mut rows.iter().copied());
    let mut best = 0.0_f64;
    for feature in 0..samples.width() {
        for &at in rows {
            let threshold = samples.row(at)[feature];
            for missing_left in [false, true] {
                let mut left_rows = 0;
                let left = sums(&mut rows.iter().copied().filter(|&row| {
                    let value = samples.row(row)[feature];
                    let is_left = value < threshold || (value.is_nan() && missing_left);
                    // Below infinity all present rows are, the missing are not.
                    let is_left =
                        is_left || (threshold.is_nan() && !value.is_nan() && !missing_left);
                    left_rows += usize::from(is_left);
                    is_left
                }));
                if left_rows > 0 && left_rows < rows.len() {
                    let right = [all[0] - left[0], all[1] - left[1]];
                    best = best.max(gain(left) + gain(right) - gain(all));
                }
            }
        }
    }
    best
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Every split of the first tree is the best there is for the rows that reach it, and every
    /// leaf gives the number that its rows ask for.
    #[test]
    fn splits_are_those_of_brute_force(
        values in proptest::collection::vec(
            (proptest::collection::vec(prop_oneof![8 => (0..6).prop_map(|v| v as f32), 1 => Just(f32::NAN)], 3), any::<bool>()),
            4..24,
        ),
        lambda in 0.0_f32..2.0,
    ) {
        let mut samples = Samples::new(3);
        for (row, label) in &values {
            samples.push(row, *label);
        }
        prop_assume!(samples.positives() > 0 && samples.positives() < samples.len());
        let options = TrainOptions {
            rounds: 1,
            depth: 3,
            lambda,
            min_child_weight: 0.0,
            ..TrainOptions::default()
        };
        let model = train(&samples, None, &options, |_| true).unwrap().model;
        let base = f64::from(model.base_score);
        let derivatives: Vec<[f64; 2]> = (0..samples.len())
            .map(|row| [base - f64::from(samples.is_positive(row)), base * (1.0 - base)])
            .collect();
        let nodes = model.trees()[0].nodes();
        let mut reach: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
        reach[0] = (0..samples.len()).collect();
        let mut depths = vec![0; nodes.len()];
        for (place, node) in nodes.iter().enumerate() {
            let best = best_gain(&samples, &reach[place], &derivatives, f64::from(lambda));
            match node.kind {
                NodeKind::Split { feature, threshold, default_left, left, right } => {
                    prop_assert!((f64::from(node.gain) - best).abs() < 1e-4, "{} {best}", node.gain);
                    for &row in &reach[place].clone() {
                        let value = samples.row(row)[feature as usize];
                        let is_left = value < threshold || (value.is_nan() && default_left);
                        reach[if is_left { left } else { right } as usize].push(row);
                    }
                    depths[left as usize] = depths[place] + 1;
                    depths[right as usize] = depths[place] + 1;
                }
                NodeKind::Leaf { value } => {
                    prop_assert!(depths[place] == 3 || best < 1e-4, "a gain of {best} was left");
                    let [first, second] = (reach[place].iter()).fold([0.0, 0.0], |sums, &row| {
                        [sums[0] + derivatives[row][0], sums[1] + derivatives[row][1]]
                    });
                    let ideal = -first / (second + f64::from(lambda)) * f64::from(options.rate);
                    prop_assert!((f64::from(value) - ideal).abs() < 1e-5, "{value} {ideal}");
                }
            }
        }
    }
}
