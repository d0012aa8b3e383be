//! Puts a mail into a folder, as a file: for trying it out, and for programs that pick it up.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use lettre::message::Message;

use super::error::{DeliveryError, transient};

pub(super) fn deliver(message: &Message, folder: &Path, message_id: &str) -> Result<(), DeliveryError> {
    let stem: String = message_id.chars().map(|c| if c.is_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let target = folder.join(format!("{stem}.eml"));
    let temporary = folder.join(format!(".{stem}.new"));
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&message.formatted())?;
        file.sync_all()?;
        fs::rename(&temporary, &target)?;
        // The name survives power loss only once the folder is on disk.
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|error| transient(format!("cannot write mail to {}: {error}", target.display())))
}
