//! `run_as`: programs as another user of the machine.
//!
//! A helper (`crondag __exec`) is started through `sudo`, or directly by root and gives up its rights itself. It gets what
//! it has to do in memory, over a socket that is its standard input: neither the environment nor the program's input ever
//! stands on a command line, and one line in sudoers is enough for running and for ending. On the socket it says what came
//! of it, so that a refusal of sudo is told from a program that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::Signal;
use rustix::stdio::dup2_stdin;
use serde::{Deserialize, Serialize};

use super::attributes::Attributes;
use super::process::Waited;
use super::{memory, process, program, sys};
use crate::dag::ProcessAttributes;
use crate::runner::attempt::AttemptSpec;
use crate::runner::attempt::environment::{self, User};

/// How long a helper is waited for.
const LONGEST_ANSWER: Duration = Duration::from_secs(5);

/// What the helper is to do.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// Become the program.
    Run {
        argv: Vec<String>,
        env: BTreeMap<String, String>,
        working_dir: PathBuf,
        stdin: Option<String>,
        process: ProcessAttributes,
    },
    /// Say which of the user's processes carry this token.
    Find(String),
    /// Ask these processes to end.
    Terminate(Vec<i32>),
    /// End these processes.
    Kill(Vec<i32>),
}

/// What the helper says.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// It is about to become the program.
    Begun,
    /// It cannot; why reads after "error: ".
    Failed(String),
    /// What it found.
    Found(BTreeSet<i32>),
}

/// How the helper is started.
pub struct Helper {
    /// The program: sudo, or crondag itself.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment; not that of the task.
    pub env: BTreeMap<String, String>,
    /// Its standard input.
    pub stdin: OwnedFd,
    /// Where it answers.
    pub answers: Answers,
}

/// Where a helper answers.
pub struct Answers {
    socket: OwnedFd,
    user: String,
}

impl Helper {
    /// The helper that becomes the program of an attempt.
    ///
    /// # Errors
    /// There is no sudo, or the system lacks memory or files; reads after "error: ".
    pub fn for_attempt(user: &str, spec: &AttemptSpec) -> Result<Helper, String> {
        let request = Request::Run {
            argv: spec.argv.clone(),
            env: spec.env.clone(),
            working_dir: spec.working_dir.clone(),
            stdin: spec.stdin.clone(),
            process: spec.process.clone(),
        };
        Helper::new(user, &request)
    }

    fn new(user: &str, request: &Request) -> Result<Helper, String> {
        let failed = |error: io::Error| format!("cannot become {user}: {error}");
        let (socket, stdin) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(|error| failed(error.into()))?;
        send(&socket, request).map_err(failed)?;
        let (program, args) = if rustix::process::geteuid().is_root() {
            (PathBuf::from("/proc/self/exe"), vec!["__exec".to_owned(), user.to_owned()])
        } else {
            let sudo =
                environment::PATH.split(':').map(|folder| Path::new(folder).join("sudo")).find(|file| file.exists());
            let sudo =
                sudo.ok_or_else(|| format!("cannot become {user}: sudo is not installed, and crondag is not root"))?;
            let args = ["-n", "-u", user, "--", &own_path(), "__exec"];
            (sudo, args.map(str::to_owned).to_vec())
        };
        let env = [("PATH", environment::PATH), ("LANG", "C.UTF-8")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Ok(Helper { program, args, env, stdin, answers: Answers { socket, user: user.to_owned() } })
    }

    /// Runs a helper to its end and gives its answer. A helper may be stopped by the very processes that it is about, for which
    /// nobody waits: the next one may get through.
    fn ask(user: &str, request: &Request) -> Option<Answer> {
        // Why there is no answer is told by the attempt itself, which began in the same way. Whoever asks goes on asking.
        let helper = Helper::new(user, request).ok()?;
        let mut command = Command::new(helper.program);
        command.args(helper.args).env_clear().envs(helper.env).current_dir("/");
        command.stdin(Stdio::from(helper.stdin)).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().ok()?;
        let pid = i32::try_from(child.id()).ok()?;
        // In the shim somebody else may have collected it; the answer is there all the same.
        if let Waited::StillThere = process::wait_at_most(pid, LONGEST_ANSWER) {
            // As root it can be ended. As somebody else only sudo can, which may go on when it is let.
            process::signal(pid, Signal::KILL);
            process::wait_at_most(pid, Duration::from_millis(100));
        }
        helper.answers.read().pop()
    }
}

impl Answers {
    /// Why the program of an attempt that has ended never began; `None` when it did.
    pub fn failure(&self) -> Option<String> {
        let user = &self.user;
        let answers = self.read();
        if answers.is_empty() {
            let (runner, program) = (&User::current().name, own_path());
            return Some(format!(
                "cannot become {user}: sudo refused, see the log; type `visudo -f /etc/sudoers.d/crondag`, add the line \
                 `{runner} ALL=({user}) NOPASSWD: {program} __exec`, and see that {user} may run that program"
            ));
        }
        answers.into_iter().find_map(|answer| match answer {
            Answer::Failed(reason) => Some(reason),
            Answer::Begun | Answer::Found(_) => None,
        })
    }

    /// All answers so far.
    fn read(&self) -> Vec<Answer> {
        let mut text = Vec::new();
        let mut buffer = [0; 4 << 10];
        loop {
            match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => break,
                Ok((_, count)) => text.extend_from_slice(&buffer[..count]),
                Err(Errno::INTR) => {}
                // Whatever was said is there.
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&text).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// The processes of a user that carry an attempt's token. Others cannot read it there.
pub fn find(user: &str, token: &str) -> BTreeSet<i32> {
    match Helper::ask(user, &Request::Find(token.to_owned())) {
        Some(Answer::Found(found)) => found,
        _ => BTreeSet::new(),
    }
}

/// Asks processes of a user to end, or ends them. Those that are gone already are fine.
pub fn end(user: &str, pids: &[i32], is_in_grace: bool) {
    let pids = pids.to_vec();
    Helper::ask(user, &if is_in_grace { Request::Terminate(pids) } else { Request::Kill(pids) });
}

/// Where this program lies, for somebody else to start. After an upgrade that is the new one.
fn own_path() -> String {
    let path = std::env::current_exe().map_or_else(|_| "crondag".to_owned(), |path| path.display().to_string());
    path.strip_suffix(" (deleted)").map_or(path.clone(), str::to_owned)
}

fn send(socket: &OwnedFd, request: &Request) -> io::Result<()> {
    let memory = memory::file_of(&serde_json::to_vec(request)?)?;
    let descriptors = [memory.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(b"!")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(socket: &OwnedFd) -> io::Result<Request> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(socket, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut memory = ancillary
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        })
        .map(File::from)
        .ok_or(Errno::BADMSG)?;
    let mut json = Vec::new();
    memory.read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// `crondag __exec`: does what the socket on standard input says. Started by root, it first becomes the user in its second
/// argument.
pub fn main() -> ExitCode {
    let asked = fcntl_dupfd_cloexec(io::stdin(), 3)
        .map_err(io::Error::from)
        .and_then(|socket| receive(&socket).map(|request| (socket, request)));
    let Ok((socket, request)) = asked else {
        eprintln!("error: crondag __exec is told what to do by crondag; it is not for people");
        return ExitCode::from(2);
    };
    let say = |answer: &Answer| {
        let Ok(mut line) = serde_json::to_vec(answer) else { return };
        line.push(b'\n');
        // Nobody listening means that the attempt is being ended.
        let _ = rustix::net::send(&socket, &line, SendFlags::NOSIGNAL);
    };
    // While this is still root, if it is: root gives more.
    if let Request::Run { process, .. } = &request {
        Attributes::new(process).take_on();
    }
    if let Some(user) = std::env::args().nth(2)
        && let Err(reason) = become_user(&user)
    {
        say(&Answer::Failed(reason));
        return ExitCode::FAILURE;
    }
    match request {
        Request::Run { argv, env, working_dir, stdin, process: _ } => {
            let reason = run(&argv, &env, &working_dir, stdin.as_deref(), || say(&Answer::Begun));
            say(&Answer::Failed(reason));
            return ExitCode::FAILURE;
        }
        // Whoever asks sees by its own list whether there are some left.
        Request::Find(token) => {
            say(&Answer::Found(process::with_token(&token, None).unwrap_or_default().into_keys().collect()));
        }
        // Of the processes that are named, sudo's own are not the user's: they end with what they have started.
        Request::Terminate(pids) => pids.into_iter().for_each(|pid| {
            process::signal(pid, Signal::TERM);
            process::signal(pid, Signal::CONT);
        }),
        Request::Kill(pids) => pids.into_iter().for_each(|pid| {
            process::signal(pid, Signal::KILL);
        }),
    }
    ExitCode::SUCCESS
}

/// Becomes the program; gives back only why it could not.
fn run(
    argv: &[String],
    env: &BTreeMap<String, String>,
    working_dir: &Path,
    stdin: Option<&str>,
    begun: impl FnOnce(),
) -> String {
    let user = env.get("USER").map_or("the user", String::as_str);
    if let Err(error) = std::env::set_current_dir(working_dir) {
        return format!("as {user}: the working directory {} cannot be entered: {error}", working_dir.display());
    }
    let program = match program::find(argv, env, working_dir) {
        Ok(program) => program,
        Err(reason) => return format!("as {user}: {reason}"),
    };
    let input = match stdin {
        None => File::open("/dev/null"),
        Some(text) => memory::file_of(text.as_bytes()),
    };
    let is_fed = input.and_then(|input| dup2_stdin(input).map_err(io::Error::from));
    if let Err(error) = is_fed {
        return format!("as {user}: {}", program::start_error(argv, &error));
    }
    begun();
    let error = Command::new(program).arg0(&argv[0]).args(&argv[1..]).env_clear().envs(env).exec();
    format!("as {user}: {}", program::start_error(argv, &error))
}

/// Gives root's rights up for those of a user, with all groups.
fn become_user(name: &str) -> Result<(), String> {
    let user = User::named(name);
    let Some((uid, gid)) = user.and_then(|user| Some((user.uid?, user.gid?))) else {
        return Err(format!("cannot become {name}: there is no such user on this machine"));
    };
    // `id` asks the name service too, which this program may lack.
    let unknown = |error: String| format!("cannot become {name}: `id -G {name}` does not tell the groups: {error}");
    let groups = duct::cmd!("id", "-G", name).stderr_null().read().map_err(|error| unknown(error.to_string()))?;
    let groups: Result<Vec<u32>, _> = groups.split_whitespace().map(str::parse).collect();
    let groups = groups.map_err(|error| unknown(error.to_string()))?;
    sys::become_user(uid, gid, &groups).map_err(|error| format!("cannot become {name}: {error}"))
}
