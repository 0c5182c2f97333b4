//! Which known name was meant by one that is not known.

/// The known name that is nearest to this one, if one is near.
///
/// # Examples
///
/// ```
/// use sessile_server::spelling::nearest;
///
/// let known = ["pooling", "priority"];
/// assert_eq!(nearest("poling", known), Some("pooling"));
/// assert_eq!(nearest("user", known), None);
/// ```
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    /// Below this, names that only share some letters would be taken for each other.
    const LEAST: f64 = 0.85;
    known
        .into_iter()
        .map(|known| (strsim::jaro(name, known), known))
        .filter(|(likeness, _)| *likeness >= LEAST)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}
