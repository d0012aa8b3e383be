//! What there is, for who wrote the name of something that is not there.

use super::fault::Fault;
use crate::dag::nearest::nearest;

/// Names the nearest of what there is, else some of it.
pub(super) fn or_known<'n>(
    fault: Fault,
    wanted: &str,
    names: impl Iterator<Item = &'n str> + Clone,
    none: &str,
) -> Fault {
    if names.clone().next().is_none() {
        return fault.help(none);
    }
    match nearest(wanted, names.clone()) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => known(fault, names),
    }
}

/// Adds the names, in lines that fit the width of the page.
pub(super) fn known<'n>(fault: Fault, names: impl Iterator<Item = &'n str>) -> Fault {
    const WIDTH: usize = 84;
    const MOST: usize = 40;
    const LEAD: &str = "known: ";
    let mut help = LEAD.to_owned();
    let mut column = LEAD.len();
    for (index, name) in names.enumerate() {
        let name = if index < MOST { name } else { "..." };
        let length = name.chars().count() + 2;
        if index > 0 {
            help.push(',');
            if column + length > WIDTH {
                help.push('\n');
                help.push_str(&" ".repeat(LEAD.len()));
                column = LEAD.len();
            } else {
                help.push(' ');
            }
        }
        help.push_str(name);
        column += length;
        if index == MOST {
            break;
        }
    }
    fault.help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_many_names_forty_are_shown() {
        let names: Vec<String> = (0..45).map(|number| format!("name{number:02}")).collect();
        let fault = or_known(Fault::error("x", 0..0, "m", "l"), "colour", names.iter().map(String::as_str), "");
        let help = &fault.help[0];
        assert!(help.starts_with("known: name00, name01,") && help.ends_with("name39, ..."), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 85), "{help}");
    }
}
