//! What was probably meant by a name that nobody knows.

/// Likeness below which two names have nothing to do with each other (Jaro-Winkler, 1 is the same).
const LIKENESS_MIN: f64 = 0.75;

/// The known name that is most like this one, if any is like it at all.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&name, &known.to_lowercase()), known))
        .filter(|(likeness, _)| *likeness > LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_likest_name_is_offered_and_none_where_none_is_like() {
        let known = ["transactions", "disputes", "chats"];
        assert_eq!(nearest("Transaction", known), Some("transactions"));
        assert_eq!(nearest("dispute", known), Some("disputes"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest("zzz", []), None);
    }
}
