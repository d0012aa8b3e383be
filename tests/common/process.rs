use std::fs;
use std::process::Command;

/// The numbers and command lines of live processes whose command line holds a text.
pub fn processes(text: &str) -> Vec<(u32, String)> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let lines = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        // One that has ended meanwhile has none.
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    });
    lines.filter(|(_, line)| line.contains(text)).collect()
}

/// Their numbers alone.
pub fn pids(text: &str) -> Vec<u32> {
    processes(text).into_iter().map(|(pid, _)| pid).collect()
}

/// Sends a signal, named as `kill` names it: `-TERM`.
#[track_caller]
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status().expect("there is `kill`");
    assert!(status.success(), "kill {name} {pid}");
}
