//! The causes that are known: the built-in ones and those of the home.

use regex::RegexSet;

use crate::dag::Cause;
use crate::dag::file::read_diagnosis;

/// The built-in causes, in the format of the home's file.
const BUILT_IN: &str = include_str!("diagnosis.toml");

/// All causes that are looked for.
#[derive(Debug, Clone)]
pub struct Catalogue {
    causes: Vec<Cause>,
    /// All patterns at once: most lines match none, and that is one look. `None` when they do not fit into one.
    any: Option<RegexSet>,
}

impl Catalogue {
    /// The built-in causes with those of a home: one of the same id takes the built-in one's place.
    pub fn with(own: Vec<Cause>) -> Catalogue {
        // A test reads the built-in file without a fault.
        let (built_in, _) = read_diagnosis(BUILT_IN);
        let mut causes = own;
        for cause in built_in {
            if !causes.iter().any(|own| own.id == cause.id) {
                causes.push(cause);
            }
        }
        let patterns = causes.iter().flat_map(|cause| &cause.patterns).map(regex::Regex::as_str);
        // Together they may be too large for one automaton; then each is tried on each line, which is only slower.
        let any = RegexSet::new(patterns).ok();
        Catalogue { causes, any }
    }

    /// The built-in causes.
    pub fn built_in() -> Catalogue {
        Catalogue::with(Vec::new())
    }

    /// Whether a line can match any pattern.
    pub(super) fn may_match(&self, text: &str) -> bool {
        self.any.as_ref().is_none_or(|any| any.is_match(text))
    }

    /// The causes.
    pub fn causes(&self) -> &[Cause] {
        &self.causes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_file_is_without_a_fault() {
        let (causes, faults) = read_diagnosis(BUILT_IN);
        assert_eq!(faults, []);
        assert!(causes.len() > 40, "{}", causes.len());
    }

    /// With the word boundary of Unicode, a line with any other letter than ASCII's takes a hundred times as long.
    #[test]
    fn word_boundaries_are_those_of_ascii() {
        for pattern in Catalogue::built_in().causes().iter().flat_map(|cause| &cause.patterns) {
            assert!(!pattern.as_str().replace(r"(?-u:\b)", "").contains(r"\b"), "{pattern}");
        }
    }

    #[test]
    fn a_cause_of_the_home_takes_the_place_of_the_built_in_one() {
        let text = "[causes.disk-full]\nname = 'x'\nclass = 'resources'\npatterns = ['y']\nadvice = 'z'";
        let (own, faults) = read_diagnosis(text);
        assert_eq!(faults, []);
        let count = Catalogue::built_in().causes().len();
        let catalogue = Catalogue::with(own);
        assert_eq!(catalogue.causes().len(), count);
        let found: Vec<&str> = catalogue
            .causes()
            .iter()
            .filter(|cause| cause.id == "disk-full")
            .map(|cause| cause.name.as_str())
            .collect();
        assert_eq!(found, ["x"]);
    }
}
