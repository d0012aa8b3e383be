use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// What a command writes to a terminal of so many columns, both of its streams in one, as the terminal gets it.
///
/// # Panics
/// When the machine has no pseudoterminals.
pub fn on_terminal(command: &mut Command, columns: u16) -> (Option<i32>, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudoterminal");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it can be opened");
    let name = ptsname(&master, Vec::new()).expect("it has a name").into_string().expect("of ASCII");
    let open = || File::options().read(true).write(true).open(&name).expect("the other end");
    let out = open();
    tcsetwinsize(&out, Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).expect("it has a size");
    command.env("TERM", "xterm-256color").stdin(Stdio::null()).stdout(out).stderr(open());
    let mut child = command.spawn().expect("the command starts");
    // The command holds the ends that it writes to; ours must go, or there is no end of the output.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut master = File::from(master);
    let (mut output, mut part) = (Vec::new(), [0; 4096]);
    // The last one that had the other end open has gone: an error on Linux.
    while let Ok(count @ 1..) = master.read(&mut part) {
        output.extend_from_slice(&part[..count]);
    }
    let status = child.wait().expect("it ends");
    (status.code(), String::from_utf8_lossy(&output).into_owned())
}
