//! Mail against a real SMTP server on loopback, and through the whole program.
//!
//! The server is aiosmtpd; `install/test.sh mail` installs it and sets `CRONDAG_TEST_PYTHON`. Without it these tests are
//! ignored.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may fail

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Home, until};
use crondag::dag::config::{Email, MailTransport, Smtp, Tls};
use crondag::notify::{DeliveryError, Mail, deliver_mail};

struct Server {
    child: Child,
    port: u16,
    folder: Home,
}

impl Server {
    fn start(args: &[&str]) -> Server {
        Server::start_in(Home::bare(), args)
    }

    fn start_in(folder: Home, args: &[&str]) -> Server {
        let python = std::env::var("CRONDAG_TEST_PYTHON")
            .expect("CRONDAG_TEST_PYTHON names a Python with aiosmtpd and cryptography: run `./install/test.sh mail`");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/smtp_server.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(folder.path())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("the server said {line:?}"));
        Server { child, port, folder }
    }

    fn smtp(&self, tls: Tls) -> Smtp {
        Smtp {
            host: "localhost".to_owned(),
            port: self.port,
            tls,
            tls_verify: true,
            tls_ca: Some(self.folder.file("ca.pem")),
            username: None,
            password_env: None,
            timeout: Duration::from_secs(60),
        }
    }

    /// The stored messages as Python's mail library reads them: subject, plain text, number of parts.
    fn message(&self, number: u32) -> (String, String, u32) {
        let path = self.folder.file(&format!("{number}.eml"));
        let script = "import email,email.policy,sys,json\n\
                      m=email.message_from_binary_file(open(sys.argv[1],'rb'),policy=email.policy.default)\n\
                      parts=[p.get_content_type() for p in m.iter_parts()]\n\
                      assert parts==['text/plain','text/html'],parts\n\
                      assert m['Auto-Submitted']=='auto-generated' and m['Message-ID']=='<id1@test>',m.items()\n\
                      print(json.dumps([m['Subject'],m.get_body(('plain',)).get_content(),len(parts)]))";
        let output = Command::new("python3").args(["-c", script]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn mail() -> Mail {
    Mail {
        pictures: Vec::new(),
        to: vec!["Admin <admin@example.com>".to_owned(), "second@example.com".to_owned()],
        subject: "[crondag] 用户画像 failed".to_owned(),
        text: "plain: 失败\n.a line with a dot\n".to_owned(),
        html: "<p>失败</p>\n".to_owned(),
    }
}

fn send(smtp: Smtp, password: Option<&str>) -> Result<(), DeliveryError> {
    send_to(smtp, password, &mail())
}

fn send_to(smtp: Smtp, password: Option<&str>, mail: &Mail) -> Result<(), DeliveryError> {
    let settings = Email {
        from: "crondag@example.com".to_owned(),
        to: Vec::new(),
        transport: MailTransport::Smtp(smtp),
        max_per_hour: 30,
    };
    let variable = |name: &str| (name == "SMTP_PASSWORD").then(|| password.map(str::to_owned)).flatten();
    deliver_mail(mail, "id1@test", &settings, Path::new("/"), &variable)
}

#[test]
#[ignore = "needs a real SMTP server: ./install/test.sh mail"]
fn arrives_intact_in_the_clear_by_starttls_and_by_tls() {
    for (option, tls) in [("none", Tls::None), ("starttls", Tls::Starttls), ("required", Tls::Required)] {
        let server = Server::start(&["--tls", option]);
        let mut smtp = server.smtp(tls);
        if tls == Tls::None {
            smtp.tls_ca = None;
        }
        send(smtp, None).unwrap_or_else(|error| panic!("{option}: {error}"));
        let (subject, text, parts) = server.message(1);
        assert_eq!((subject.as_str(), parts), ("[crondag] 用户画像 failed", 2), "{option}");
        assert_eq!(text.replace("\r\n", "\n"), "plain: 失败\n.a line with a dot\n", "{option}");
    }
}

#[test]
#[ignore = "needs a real SMTP server: ./install/test.sh mail"]
fn logs_in_and_says_what_is_wrong_when_it_cannot() {
    let server = Server::start(&["--tls", "starttls", "--login", "robot", "s3cret"]);
    let login = || Smtp {
        username: Some("robot".to_owned()),
        password_env: Some("SMTP_PASSWORD".to_owned()),
        ..server.smtp(Tls::Starttls)
    };
    send(login(), Some("s3cret")).unwrap();
    let wrong = send(login(), Some("wr0ng")).unwrap_err();
    assert!(wrong.message.contains("refuses the login of robot") && !wrong.message.contains("wr0ng"), "{wrong}");
    let missing = send(login(), None).unwrap_err();
    assert_eq!(missing.message, "the mail password is missing: put SMTP_PASSWORD=... into env_file of crondag.toml");
}

#[test]
#[ignore = "needs a real SMTP server: ./install/test.sh mail"]
fn an_untrusted_certificate_is_refused_unless_asked_otherwise() {
    let server = Server::start(&["--tls", "required"]);
    let untrusted = Smtp { tls_ca: None, ..server.smtp(Tls::Required) };
    let error = send(untrusted.clone(), None).unwrap_err();
    assert!(error.message.contains("is not trusted") && error.message.contains("tls_verify = false"), "{error}");
    assert!(!error.permanent);
    send(Smtp { tls_verify: false, ..untrusted }, None).unwrap();
}

#[test]
#[ignore = "needs a real SMTP server: ./install/test.sh mail"]
fn starttls_is_never_skipped_and_a_refused_recipient_is_final() {
    let server = Server::start(&["--tls", "none", "--refuse", "nobody@example.com"]);
    let error = send(Smtp { tls_ca: None, ..server.smtp(Tls::Starttls) }, None).unwrap_err();
    assert!(error.message.contains("does not offer STARTTLS"), "{error}");
    let mail = Mail { to: vec!["nobody@example.com".to_owned()], ..mail() };
    let error = send_to(Smtp { tls_ca: None, ..server.smtp(Tls::None) }, None, &mail).unwrap_err();
    assert!(error.permanent && error.message.contains("no such user here"), "{error}");
}

fn without_tls(port: u16) -> Smtp {
    Smtp {
        host: "127.0.0.1".to_owned(),
        port,
        tls: Tls::None,
        tls_verify: true,
        tls_ca: None,
        username: None,
        password_env: None,
        timeout: Duration::from_secs(1),
    }
}

#[test]
fn a_server_that_is_down_or_hangs_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Nobody accepts: the connection stands in the backlog and nothing is ever said.
    let hanging = send(without_tls(port), None).unwrap_err();
    assert_eq!(
        (hanging.permanent, hanging.message),
        (false, format!("the mail server 127.0.0.1:{port} did not answer in time"))
    );
    drop(listener);
    let down = send(without_tls(port), None).unwrap_err();
    let expected = format!("the mail server 127.0.0.1:{port} refuses connections: is it running, is the port right?");
    assert_eq!((down.permanent, down.message), (false, expected));
}

#[test]
fn a_folder_and_sendmail_take_mail_too() {
    let home = Home::bare();
    let settings =
        |transport| Email { from: "crondag@example.com".to_owned(), to: Vec::new(), transport, max_per_hour: 30 };
    let nothing = |_: &str| None;
    let to_folder = settings(MailTransport::Folder { path: PathBuf::from("mail") });
    deliver_mail(&mail(), "id1@test", &to_folder, home.path(), &nothing).unwrap();
    let stored = home.read("mail/id1-test.eml");
    assert!(stored.contains("Message-ID: <id1@test>"), "{stored}");

    let folder = home.path().display().to_string();
    home.program("sendmail", &format!("#!/bin/sh\necho \"$@\" > {folder}/args\ncat > {folder}/mail.txt\n"));
    let to_sendmail = settings(MailTransport::Sendmail { command: format!("{folder}/sendmail") });
    deliver_mail(&mail(), "id1@test", &to_sendmail, home.path(), &nothing).unwrap();
    assert!(home.read("args").contains("admin@example.com second@example.com"));
    assert!(home.read("mail.txt").contains("Subject: "));

    let missing = settings(MailTransport::Sendmail { command: "/nowhere/sendmail".to_owned() });
    let error = deliver_mail(&mail(), "id1@test", &missing, home.path(), &nothing).unwrap_err();
    assert_eq!(error.message, "the program /nowhere/sendmail does not exist: set `command` under [email]");
}

#[test]
fn a_bad_address_is_final_and_named() {
    let mail = Mail { to: vec!["no address".to_owned()], ..mail() };
    let error = send_to(without_tls(1), None, &mail).unwrap_err();
    assert!(error.permanent && error.message.contains("`no address` is not a mail address"), "{error}");
}

#[test]
#[ignore = "needs a real SMTP server: ./install/test.sh mail"]
fn one_refused_recipient_costs_nobody_else_the_mail() {
    let server = Server::start(&["--refuse", "nobody@example.com"]);
    let to = ["first@example.com", "nobody@example.com", "last@example.com"];
    let mail = Mail { to: to.map(str::to_owned).to_vec(), ..mail() };
    let error = send_to(Smtp { tls_ca: None, ..server.smtp(Tls::None) }, None, &mail).unwrap_err();
    let expected = format!(
        "the mail server localhost:{} refuses the mail: 550 5.1.1 no such user here (nobody@example.com; the other \
         recipients have it)",
        server.port
    );
    assert_eq!((error.permanent, error.message), (true, expected));
    let got = |number: u32| server.folder.read(&format!("{number}.to"));
    assert_eq!([got(1), got(2)], ["first@example.com", "last@example.com"]);
}

#[test]
#[ignore = "needs a real SMTP server: ./install/test.sh mail"]
fn a_relay_with_a_self_signed_certificate_needs_tls_verify_off() {
    for (option, tls) in [("starttls", Tls::Starttls), ("required", Tls::Required)] {
        let server = Server::start(&["--tls", option, "--self-signed"]);
        // Even when named as tls_ca: a CA's certificate is not taken for a server's.
        let error = send(server.smtp(tls), None).unwrap_err();
        assert!(error.message.contains("is not trusted") && error.message.contains("tls_verify = false"), "{error}");
        send(Smtp { tls_verify: false, ..server.smtp(tls) }, None).unwrap();
    }
}

#[test]
#[ignore = "needs a real SMTP server: ./install/test.sh mail"]
fn a_login_that_is_wanted_or_not_offered_is_told() {
    let login = |smtp: Smtp| Smtp {
        username: Some("robot".to_owned()),
        password_env: Some("SMTP_PASSWORD".to_owned()),
        ..smtp
    };
    let wants = Server::start(&["--tls", "starttls", "--login", "robot", "s3cret"]);
    let error = send(wants.smtp(Tls::Starttls), None).unwrap_err();
    assert!(error.message.contains("wants a login: set username and password_env"), "{error}");
    assert!(!error.permanent);
    // It offers AUTH only once the connection is encrypted.
    let error = send(login(Smtp { tls_ca: None, ..wants.smtp(Tls::None) }), Some("s3cret")).unwrap_err();
    assert!(error.message.contains("offers no login by password"), "{error}");
    let nameless = Smtp { password_env: None, ..login(wants.smtp(Tls::Starttls)) };
    let error = send(nameless, Some("s3cret")).unwrap_err();
    assert!(error.message.contains("username robot but no password_env"), "{error}");
}

#[test]
#[ignore = "needs a real SMTP server: ./install/test.sh mail"]
fn tls_settings_that_do_not_fit_the_server_are_told() {
    let server = Server::start(&["--tls", "none"]);
    let error = send(Smtp { tls_ca: None, ..server.smtp(Tls::Required) }, None).unwrap_err();
    assert!(error.message.contains("does not speak TLS from the first byte"), "{error}");
    let empty = server.folder.write("empty.pem", "").file("empty.pem");
    let error = send(Smtp { tls_ca: Some(empty.clone()), ..server.smtp(Tls::Required) }, None).unwrap_err();
    assert!(error.message.contains(&format!("tls_ca {}: no certificate in it", empty.display())), "{error}");
    let error = send(Smtp { tls_ca: Some(PathBuf::from("/nowhere.pem")), ..server.smtp(Tls::Required) }, None);
    assert!(error.unwrap_err().message.contains("tls_ca /nowhere.pem: No such file"));
}

/// A server that says these lines, one after each command, and then closes the connection.
fn scripted(replies: &'static [&'static str]) -> Smtp {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut commands = BufReader::new(stream.try_clone().unwrap()).lines();
            for reply in replies {
                // The client may have gone; it is the one that is tested.
                let _ = write!(stream, "{reply}\r\n");
                let _ = commands.next();
            }
        }
    });
    Smtp { timeout: Duration::from_secs(60), ..without_tls(port) }
}

/// What the reply's code says holds, whatever its words resemble.
#[test]
fn the_words_of_a_server_do_not_mislead() {
    let words = "550 no STARTTLS certificate, 535 timed out";
    let smtp = scripted(&["220 here", "250 here", "250 ok", "550 no STARTTLS certificate, 535 timed out", "221 bye"]);
    let to_one = Mail { to: vec!["admin@example.com".to_owned()], ..mail() };
    let error = send_to(smtp.clone(), None, &to_one).unwrap_err();
    let expected = format!("the mail server 127.0.0.1:{} refuses the mail: {words}", smtp.port);
    assert_eq!((error.permanent, error.message), (true, expected));

    let smtp = scripted(&["220 here", "250 here", "451 4.7.1 greylisted, come back", "221 bye"]);
    let error = send(smtp.clone(), None).unwrap_err();
    let expected =
        format!("the mail server 127.0.0.1:{} does not take the mail now: 451 4.7.1 greylisted, come back", smtp.port);
    assert_eq!((error.permanent, error.message), (false, expected));

    let smtp = scripted(&["220 here"]);
    let error = send(smtp.clone(), None).unwrap_err();
    let expected = format!("the mail server 127.0.0.1:{} closed the connection", smtp.port);
    assert_eq!((error.permanent, error.message), (false, expected));
}

#[test]
fn a_password_that_the_server_repeats_is_hidden() {
    let smtp = scripted(&["220 here", "250-here\r\n250 AUTH PLAIN", "535 5.7.8 s3cret is not the password", "221 bye"]);
    let smtp = Smtp { username: Some("robot".to_owned()), password_env: Some("SMTP_PASSWORD".to_owned()), ..smtp };
    let error = send(smtp.clone(), Some("s3cret")).unwrap_err();
    let expected = format!(
        "the mail server 127.0.0.1:{} refuses the login of robot: 535 5.7.8 *** is not the password",
        smtp.port
    );
    assert_eq!((error.permanent, error.message), (false, expected));
}

#[test]
fn a_bad_address_among_good_ones_keeps_nobody_else_from_the_mail() {
    let folder = Home::bare();
    let to = ["good@example.com", "no address"].map(str::to_owned).to_vec();
    let settings = |from: &str| Email {
        from: from.to_owned(),
        to: Vec::new(),
        transport: MailTransport::Folder { path: PathBuf::from("mail") },
        max_per_hour: 30,
    };
    let deliver =
        |from| deliver_mail(&Mail { to: to.clone(), ..mail() }, "id1@test", &settings(from), folder.path(), &|_| None);
    let error = deliver("crondag@example.com").unwrap_err();
    assert!(
        error.permanent && error.message.starts_with("the recipient `no address` is not a mail address"),
        "{error}"
    );
    assert!(error.message.ends_with("; the other recipients have it"), "{error}");
    let stored = folder.read("mail/id1-test.eml");
    assert!(stored.contains("To: good@example.com\r\n"), "{stored}");
    // crondag.toml may be put right while the mail waits.
    let error = deliver("nobody").unwrap_err();
    assert!(!error.permanent && error.message.starts_with("`from = \"nobody\"` under [email]"), "{error}");
}

/// The whole way: a task fails while the mail server is down; the mail waits in the outbox and `status` says why; when the
/// server is up, the mail arrives without anybody doing anything.
#[test]
#[ignore = "needs a real SMTP server: ./install/test.sh mail"]
fn mail_outlives_a_server_that_is_down_at_first() {
    let free_port = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/free_port.py");
    let said = Command::new("python3").arg(free_port).output().unwrap().stdout;
    let free: u16 = String::from_utf8_lossy(&said).trim().parse().unwrap();
    let home = Home::bare()
        .config(&format!("[email]\nfrom = 'crondag@example.com'\nhost = '127.0.0.1'\nport = {free}\ntls = 'none'\n"))
        .dag(
            "bad",
            "[tasks.fails]\nshell = 'echo the reason; exit 3'\nemail = 'team@example.com'\n\
             [tasks.after]\nafter = 'fails'\nshell = 'true'\n",
        );
    home.run("backfill -s 2024-01-01 -e 2024-01-01 bad").code(1);
    until("status says why", || home.run("status").out().contains("refuses connections"));
    let server = Server::start(&["--port", &free.to_string()]);
    until("the mail comes", || server.folder.has("1.eml"));
    let failed = server.folder.read("1.eml");
    assert!(failed.contains("Subject: [crondag] bad fails failed (ds 2024-01-01, try 1 of 1)"), "{failed}");
    assert!(failed.contains("why       exit status 3") && failed.contains("| the reason"), "{failed}");
    assert!(failed.contains("It blocks:\r\n  after"), "{failed}");
}
