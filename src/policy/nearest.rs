//! The known word that somebody probably meant.
//! Must not decide whether a word is wrong, only what it may have been.

/// The closest of `known` to `word`, if any is close enough to be a slip: a third of its
/// letters at most, one at least, or an end left out. Case alone is never a difference.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1);
    let distance = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let end_left_out = folded.len() > 2 && candidate.starts_with(&folded);
        match strsim::damerau_levenshtein(&folded, &candidate) {
            distance if end_left_out => distance.min(limit),
            distance => distance,
        }
    };
    known
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// A sentence for the end of a message: what was probably meant, else what there is.
pub fn suggestion(word: &str, known: &[&str]) -> String {
    match (nearest(word, known.iter().copied()), known) {
        (Some(meant), _) => format!("did you mean '{meant}'?"),
        (None, []) => "there is none".to_owned(),
        (None, known) => format!("known: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [&str; 3] = ["maxTokens", "models", "requestsPerMinute"];

    #[test]
    fn a_slip_finds_its_word() {
        assert_eq!(nearest("maxToken", FIELDS), Some("maxTokens"));
        assert_eq!(nearest("maxtokens", FIELDS), Some("maxTokens"));
        assert_eq!(nearest("mdoels", FIELDS), Some("models"));
        assert_eq!(nearest("max", FIELDS), Some("maxTokens"));
    }

    #[test]
    fn another_word_finds_nothing() {
        assert_eq!(nearest("budget", FIELDS), None);
        assert_eq!(
            suggestion("budget", &FIELDS),
            "known: maxTokens, models, requestsPerMinute"
        );
        assert_eq!(suggestion("budget", &[]), "there is none");
    }
}
