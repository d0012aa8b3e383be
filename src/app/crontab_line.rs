//! The line that makes cron tick.

use std::path::Path;

use jiff::SignedDuration;

use crate::home::Home;

/// A crontab line that ticks each minute is late after this long.
pub(crate) const TICK_LATE: SignedDuration = SignedDuration::from_mins(3);

/// The one line in the crontab, with the real paths.
pub fn crontab_line(home: &Home) -> String {
    let program = std::env::current_exe().map_or_else(|_| "crondag".to_owned(), |path| quoted(&path));
    format!("* * * * * {program} --home {} tick", quoted(home.root()))
}

/// A path as a crontab line needs it: quoted for the shell, `%` escaped from cron, which makes it a line break.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+@,:=".contains(c));
    let text = if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) };
    text.replace('%', r"\%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crontab_paths_survive_the_shell_and_cron() {
        assert_eq!(quoted(Path::new("/srv/etl-1")), "/srv/etl-1");
        assert_eq!(quoted(Path::new("/srv/my etl/100%")), r"'/srv/my etl/100\%'");
    }
}
