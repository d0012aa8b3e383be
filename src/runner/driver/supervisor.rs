//! What a service manager hears of the resident scheduler: systemd's notification protocol (`sd_notify(3)`), text in
//! datagrams to the socket that `$NOTIFY_SOCKET` names. Without that variable nothing is said.

use std::cell::{Cell, RefCell};
use std::env;
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The service manager, if there is one.
#[derive(Debug, Clone, Default)]
pub(super) struct Supervisor(Option<Rc<Connection>>);

#[derive(Debug)]
struct Connection {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Half of the time after which the service manager takes a silent process for a hung one.
    half: Option<Duration>,
    pinged: Cell<Instant>,
    status: RefCell<String>,
    is_ready: Cell<bool>,
    is_stopping: Cell<bool>,
}

impl Supervisor {
    /// The one that the environment names (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`).
    pub(super) fn of_environment() -> Supervisor {
        let connection = env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let usec = env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse::<u64>().ok());
            let is_ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
            Some(Rc::new(Connection {
                // Without descriptors there is no service manager to speak to; it will notice.
                socket: UnixDatagram::unbound().ok()?,
                address: address(&name)?,
                half: usec.filter(|usec| *usec > 0 && is_ours).map(|usec| Duration::from_micros(usec) / 2),
                pinged: Cell::new(Instant::now()),
                status: RefCell::default(),
                is_ready: Cell::new(false),
                is_stopping: Cell::new(false),
            }))
        });
        Supervisor(connection)
    }

    /// The process works, and this is what it does. Called from the loop that does the work, so that one that hangs is
    /// noticed.
    pub(super) fn works(&self, status: &str) {
        let Some(connection) = &self.0 else { return };
        if !connection.is_ready.replace(true) {
            connection.send("READY=1");
        }
        if connection.status.borrow().as_str() != status {
            connection.send(&format!("STATUS={status}"));
            status.clone_into(&mut connection.status.borrow_mut());
        }
        if connection.half.is_some_and(|half| connection.pinged.get().elapsed() >= half) {
            connection.ping();
        }
    }

    /// Tells the service manager that the settings are read again, which lasts until [`works`](Supervisor::works).
    pub(super) fn reloads(&self) {
        let Some(connection) = &self.0 else { return };
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        connection.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
        connection.is_ready.set(false);
    }

    /// It goes, within this time.
    pub(super) fn stops(&self, within: Duration) {
        let Some(connection) = &self.0 else { return };
        if !connection.is_stopping.replace(true) {
            // Beyond the time that attempts are given: what follows them wants to be recorded.
            let usec = (within + Duration::from_secs(10)).as_micros();
            connection.send(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={usec}"));
        }
    }

    /// How long the loop may wait at most.
    pub(super) fn wakes_within(&self) -> Option<Duration> {
        let connection = self.0.as_ref()?;
        Some(connection.half?.saturating_sub(connection.pinged.get().elapsed()))
    }

    /// Waits on purpose, which is no hanging.
    pub(super) fn sleep(&self, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            if let Some(connection) = &self.0
                && connection.half.is_some()
            {
                connection.ping();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(self.wakes_within().map_or(left, |longest| left.min(longest)));
        }
    }
}

impl Connection {
    fn send(&self, text: &str) {
        // Nobody listens: then nobody wants to know.
        let _ = self.socket.send_to_addr(text.as_bytes(), &self.address);
    }

    fn ping(&self) {
        self.send("WATCHDOG=1");
        self.pinged.set(Instant::now());
    }
}

/// A path, or a name in the abstract namespace behind `@`.
fn address(name: &OsString) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(name).ok(),
        _ => None,
    }
}
