//! "Did you mean": the nearest name to one that does not exist.

/// The nearest of some names, if it is near enough to be meant.
pub fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let lower = wanted.to_lowercase();
    let length = wanted.chars().count();
    let mut names = names.peekable();
    if length < 2 || names.peek().is_none() {
        return None;
    }
    let mut begun = None;
    let close = names
        .inspect(|name| {
            // Half a word, cut off.
            if length >= 4 && begun.is_none() && name.to_lowercase().starts_with(&lower) {
                begun = Some(*name);
            }
        })
        .filter(|name| name.chars().count().abs_diff(length) <= length.max(3) / 3)
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= length.max(name.chars().count()).max(3) / 3)
        .min()
        .map(|(_, name)| name);
    close.or(begun)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_only_what_is_near() {
        let names = ["userprofile", "hello"];
        assert_eq!(nearest("userprofil", names.into_iter()), Some("userprofile"));
        assert_eq!(nearest("UserPrfile", names.into_iter()), Some("userprofile"));
        assert_eq!(nearest("user", names.into_iter()), Some("userprofile"));
        assert_eq!(nearest("finance", names.into_iter()), None);
    }

    #[test]
    fn only_near_names_are_suggested() {
        let names = ["retries", "retry_delay", "pool", "email"];
        let near = |wanted| nearest(wanted, names.into_iter());
        assert_eq!(near("retrys"), Some("retries"));
        assert_eq!(near("Retry_Delay"), Some("retry_delay"));
        assert_eq!(near("pol"), Some("pool"));
        assert_eq!(near("retry"), Some("retry_delay"));
        assert_eq!(near("colour"), None);
        assert_eq!(near("x"), None);
        assert_eq!(nearest("x", ["y"].into_iter()), None, "every letter is one away from every other");
        assert_eq!(nearest("xy", std::iter::empty()), None);
    }
}
