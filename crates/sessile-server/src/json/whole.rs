//! Whole numbers, however JSON writes them: `9.0` is one as well as `9`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde_json::Number;

/// The largest whole number below which every other is exact in a float of JSON.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// A number as a whole one, if it is that and not negative.
pub(crate) fn whole(number: &Number) -> Option<u64> {
    number
        .as_u64()
        .or_else(|| number.as_f64().and_then(whole_float))
}

fn whole_float(number: f64) -> Option<u64> {
    let is_whole = number.fract() == 0.0 && (0.0..=LARGEST_EXACT).contains(&number);
    is_whole.then_some(number as u64)
}

/// A field with a whole number in it, or `null`.
pub(crate) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    deserializer.deserialize_any(WholeVisitor(PhantomData))
}

/// A whole number in a list.
#[derive(Clone, Copy, Debug)]
struct Whole<T>(T);

impl<'de, T: TryFrom<u64>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match optional(deserializer)? {
            Some(number) => Ok(Whole(number)),
            None => Err(D::Error::invalid_type(
                Unexpected::Unit,
                &WholeVisitor::<T>(PhantomData),
            )),
        }
    }
}

/// A field with a list of whole numbers in it, or `null`.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let found = Option::<Vec<Whole<T>>>::deserialize(deserializer)?;
    Ok(found.map(plain))
}

/// A field with a list of such lists in it, or `null`.
pub(crate) fn lists<'de, D, T>(deserializer: D) -> Result<Option<Vec<Vec<T>>>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let found = Option::<Vec<Vec<Whole<T>>>>::deserialize(deserializer)?;
    Ok(found.map(|lists| lists.into_iter().map(plain).collect()))
}

fn plain<T>(numbers: Vec<Whole<T>>) -> Vec<T> {
    numbers.into_iter().map(|Whole(number)| number).collect()
}

struct WholeVisitor<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for WholeVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number of {} bits at most", 8 * size_of::<T>())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<T>, E> {
        let wrong = || E::invalid_value(Unexpected::Unsigned(number), &self);
        T::try_from(number).map(Some).map_err(|_| wrong())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Option<T>, E> {
        match whole_float(number) {
            Some(whole) => self.visit_u64(whole),
            None => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        let cases = [
            ("9", Ok(Some(9))),
            ("9.0", Ok(Some(9))),
            ("2e1", Ok(Some(20))),
            ("null", Ok(None)),
            ("-1", Err("invalid type: integer `-1`")),
            ("0.5", Err("invalid value: floating point `0.5`")),
            ("300", Err("a whole number of 8 bits at most")),
            ("1e300", Err("a whole number")),
            ("\"9\"", Err("invalid type: string")),
            ("true", Err("invalid type: boolean")),
        ];
        for (text, expected) in cases {
            let found = optional::<_, u8>(&mut serde_json::Deserializer::from_str(text));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(error), Err(words)) => {
                    assert!(error.to_string().contains(words), "{text}: {error}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn lists_hold_them_too() {
        let read = |text| lists::<_, u32>(&mut serde_json::Deserializer::from_str(text));
        assert_eq!(
            read("[[47.0, 3], []]").unwrap(),
            Some(vec![vec![47, 3], vec![]])
        );
        assert_eq!(read("null").unwrap(), None);
        for wrong in ["[[47.5]]", "[[null]]", "[[-1]]", "[47]", "[[4294967296]]"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let read = |text| list::<_, u32>(&mut serde_json::Deserializer::from_str(text));
        assert_eq!(read("[47.0, 3]").unwrap(), Some(vec![47, 3]));
    }
}
