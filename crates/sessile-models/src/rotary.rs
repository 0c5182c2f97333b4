//! Rotary positions (Su et al., 2021, arXiv:2104.09864): what a `config.json` says of their angles,
//! and the table that attention reads.

use serde_json::Value;
use sessile_device::HostTensor;

use crate::error::{ModelError, ModelErrorKind};

/// The angles of a layer's positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// The base of the frequencies.
    pub theta: f64,
    /// How many positions count as one: the scaling that is called linear.
    pub factor: f64,
}

impl Rope {
    /// Angles with this base and no scaling.
    pub fn new(theta: f64) -> Self {
        Rope { theta, factor: 1.0 }
    }

    /// The same, with what `rope_parameters` (or `rope_scaling`, as it was called before) says.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a scaling that is not built in, `Malformed` for impossible numbers.
    pub(crate) fn with(mut self, parameters: Option<&Value>) -> Result<Self, ModelError> {
        let get = |key: &str| {
            parameters
                .and_then(|parameters| parameters.get(key))
                .filter(|value| !value.is_null())
        };
        let number = |key: &str| -> Result<Option<f64>, ModelError> {
            let found = get(key).map(|value| {
                value
                    .as_f64()
                    .filter(|number| number.is_finite() && *number >= 1.0)
                    .ok_or_else(|| impossible(key, value))
            });
            found.transpose()
        };
        if let Some(theta) = number("rope_theta")? {
            self.theta = theta;
        }
        match get("rope_type")
            .or_else(|| get("type"))
            .map(|kind| kind.as_str())
        {
            None | Some(Some("default")) => {}
            Some(Some("linear")) => {
                self.factor = number("factor")?.ok_or_else(|| {
                    ModelError::new(
                        ModelErrorKind::Malformed,
                        "config.json: rope_type `linear` without a factor",
                    )
                })?;
            }
            Some(other) => {
                return Err(ModelError::new(
                    ModelErrorKind::Unsupported,
                    format!("config.json: rope_type `{}`", other.unwrap_or("?")),
                )
                .with_hint("built in: default, linear"));
            }
        }
        match number("partial_rotary_factor") {
            Ok(None | Some(1.0)) => {}
            _ => {
                return Err(ModelError::new(
                    ModelErrorKind::Unsupported,
                    "config.json: partial_rotary_factor other than 1",
                ));
            }
        }
        self.check()
    }

    /// # Errors
    ///
    /// `Malformed` for a base below 1.
    pub(crate) fn check(self) -> Result<Self, ModelError> {
        if self.theta.is_finite() && self.theta >= 1.0 {
            Ok(self)
        } else {
            Err(impossible("rope_theta", &Value::from(self.theta)))
        }
    }

    /// Cosines and sines by position, as the published code computes them: in f32, frequency first.
    pub(crate) fn table(self, head_dim: usize, positions: usize) -> HostTensor {
        let frequencies: Vec<f32> = (0..head_dim / 2)
            .map(|i| {
                let power = (self.theta as f32).powf((2 * i) as f32 / head_dim as f32);
                1.0 / power / self.factor as f32
            })
            .collect();
        let mut values = Vec::with_capacity(positions * head_dim);
        for position in 0..positions {
            let angles = frequencies
                .iter()
                .map(|frequency| f64::from(position as f32 * frequency));
            values.extend(angles.clone().map(|angle| angle.cos() as f32));
            values.extend(angles.map(|angle| angle.sin() as f32));
        }
        HostTensor::new(vec![positions, head_dim], values)
    }
}

fn impossible(key: &str, value: &Value) -> ModelError {
    ModelError::new(
        ModelErrorKind::Malformed,
        format!("config.json: {key} can not be {value}"),
    )
}
