//! "Did you mean": the nearest name to one that does not exist.

/// The name most like `text`, if it is near enough to be meant.
pub fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = text.to_lowercase();
    names
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| {
            *distance <= text.chars().count().max(name.chars().count()) / 3 || name.starts_with(text)
        })
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_only_what_is_near() {
        let names = ["userprofile", "hello"];
        assert_eq!(nearest("userprofil", names.into_iter()), Some("userprofile"));
        assert_eq!(nearest("UserPrfile", names.into_iter()), Some("userprofile"));
        assert_eq!(nearest("he", names.into_iter()), Some("hello"));
        assert_eq!(nearest("finance", names.into_iter()), None);
    }
}
