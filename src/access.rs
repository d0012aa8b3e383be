//! Who else may write or read the files that crondag obeys. What everybody may write, everybody may use to run programs
//! as crondag's user, so such a file is refused together with the command that puts it right.
//!
//! It looks at the file itself, not at the folders above the home: a home below /tmp is safe there, for the folder is
//! sticky and nobody else may rename what is in it.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::dag::file::Fault;
use crate::dag::template::quote;

const OTHERS_WRITE: u32 = 0o002;
const OTHERS_ANYTHING: u32 = 0o007;

/// A file or folder that is open to everybody on the machine. Reads after "error: ".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    path: PathBuf,
    mode: u32,
    is_secret: bool,
}

impl Exposed {
    /// The command that puts it right.
    pub fn remedy(&self) -> String {
        let change = if self.is_secret { "o-rwx" } else { "o-w" };
        format!("chmod {change} {}", quote(&self.path.display().to_string()))
    }

    /// The same, as what is wrong with the file.
    pub fn fault(&self) -> Fault {
        Fault::of_file("world-writable", self.reason()).help(format!("type `{}`", self.remedy()))
    }

    /// All of it on one line.
    pub fn sentence(&self) -> String {
        format!("{}: {}; type `{}`", self.path.display(), self.reason(), self.remedy())
    }

    fn reason(&self) -> String {
        if self.is_secret {
            format!("its mode {:04o} opens it to everybody on this machine, and it holds secrets", self.mode)
        } else {
            format!(
                "its mode {:04o} lets everybody on this machine write it, and so run programs as crondag's user",
                self.mode
            )
        }
    }
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is refused: {}\nnext: {}", self.path.display(), self.reason(), self.remedy())
    }
}

impl std::error::Error for Exposed {}

/// Refuses a file or folder that everybody may write. One that is not there is for its reader to report.
///
/// # Errors
/// Everybody may write it.
pub fn refuse_world_writable(path: &Path) -> Result<(), Exposed> {
    refuse(path, OTHERS_WRITE)
}

/// Refuses a file of secrets that is open to anybody but its owner and its group.
///
/// # Errors
/// Others may read, write or run it.
pub fn refuse_open_secret(path: &Path) -> Result<(), Exposed> {
    refuse(path, OTHERS_ANYTHING)
}

fn refuse(path: &Path, unwanted: u32) -> Result<(), Exposed> {
    match fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o7777) {
        Ok(mode) if mode & unwanted != 0 => {
            Err(Exposed { path: path.to_path_buf(), mode, is_secret: unwanted == OTHERS_ANYTHING })
        }
        _ => Ok(()),
    }
}
