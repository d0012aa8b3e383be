use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Where a server falls silent until the client goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Before it has taken anything.
    BeforeTheMail,
    /// When it has taken the mail, before it says so.
    AfterTheMail,
}

#[derive(Default)]
struct State {
    mails: Vec<String>,
    silence: Option<Silence>,
    silent: usize,
}

/// A mail server on loopback that takes every mail and keeps it.
pub struct MailServer {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl MailServer {
    pub fn start() -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = MailServer { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let state = server.state.clone();
        // It ends with the process of the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                // A client that goes in the middle is what some tests are about.
                thread::spawn(move || drop(serve(&stream, &state)));
            }
        });
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `[email]` of a home that sends to it.
    pub fn settings(&self) -> String {
        let port = self.port;
        format!("[email]\nfrom = 'etl@example.com'\nhost = '127.0.0.1'\nport = {port}\ntls = 'none'\n")
    }

    /// From now on it falls silent there, or does so no more.
    pub fn falls_silent(&self, silence: Option<Silence>) {
        self.state.lock().unwrap().silence = silence;
    }

    /// How often it has fallen silent.
    pub fn times_silent(&self) -> usize {
        self.state.lock().unwrap().silent
    }

    /// The mails that it has taken, in their order.
    pub fn mails(&self) -> Vec<String> {
        self.state.lock().unwrap().mails.clone()
    }

    /// Their headers of that name, each as one line.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let lead = format!("{name}: ");
        let header = |mail: &String| {
            let mail = mail.replace("\n ", " ");
            mail.lines().find_map(|line| line.strip_prefix(&lead)).unwrap_or_else(|| panic!("{mail}")).to_owned()
        };
        self.mails().iter().map(header).collect()
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let say = |text: &str| (&mut &*stream).write_all(text.as_bytes());
    let is_silent = |here: Silence| {
        let mut state = state.lock().unwrap();
        let is_silent = state.silence == Some(here);
        state.silent += usize::from(is_silent);
        is_silent
    };
    if is_silent(Silence::BeforeTheMail) {
        return lines.try_for_each(|line| line.map(drop));
    }
    say("220 here\r\n")?;
    while let Some(line) = lines.next() {
        let command = line?.to_uppercase();
        if command.starts_with("QUIT") {
            return say("221 bye\r\n");
        }
        if command != "DATA" {
            say("250 ok\r\n")?;
            continue;
        }
        say("354 go on\r\n")?;
        let mut mail = String::new();
        for line in lines.by_ref() {
            match line?.as_str() {
                "." => break,
                line => mail.extend([line.strip_prefix('.').unwrap_or(line), "\n"]),
            }
        }
        state.lock().unwrap().mails.push(mail);
        if is_silent(Silence::AfterTheMail) {
            return lines.try_for_each(|line| line.map(drop));
        }
        say("250 taken\r\n")?;
    }
    Ok(())
}
