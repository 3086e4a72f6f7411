//! "Did you mean": the nearest of the names that exist.

/// The candidate that `name` was most likely meant to be.
///
/// ```
/// assert_eq!(weir::suggest::nearest("opnai", ["openai", "azure"]), Some("openai"));
/// assert_eq!(weir::suggest::nearest("mistral", ["openai", "azure"]), None);
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "…"?`, or nothing.
pub(crate) fn hint(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}
