//! One network namespace, and what can be done inside it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::process::CommandExt as _;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::process::{self, Output, Process};

/// Where iproute2 keeps namespaces that have names.
const NAMESPACES: &str = "/run/netns";

/// How long [`Host::run`] waits.
const RUN_TIMEOUT: Duration = Duration::from_secs(20);

/// A namespace of a [`Lab`](super::Lab). A clone names the same namespace; none of them outlives the lab.
#[derive(Debug, Clone)]
pub struct Host {
    name: String,
    namespace: String,
}

impl Host {
    pub(super) fn new(name: &str, namespace: String) -> Self {
        Self {
            name: name.to_owned(),
            namespace,
        }
    }

    /// The namespace of a process that is no lab's, such as a container's. Neither removed nor swept.
    pub fn of_process(name: &str, id: u64) -> Result<Self> {
        // `ip -n` looks for names here.
        fs::create_dir_all(NAMESPACES)?;
        Ok(Self::new(name, format!("../../proc/{id}/ns/net")))
    }

    /// The name within the lab: `client`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name under `/run/netns`, for `ip -n`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A command that will run in this namespace, with a `/sys` that shows the namespace's devices. It dies with the
    /// thread that spawned it.
    ///
    /// # Panics
    /// If the lab is gone.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let namespace = self.open();
        let mut command = Command::new(program);
        // What is set where the tests run is not meant for the appliance.
        for (name, _) in std::env::vars_os() {
            let bytes = name.as_encoded_bytes();
            if bytes.starts_with(b"PALISADE_") || bytes.starts_with(b"CSRX_") {
                command.env_remove(name);
            }
        }
        let join = move || join_as_container(namespace.as_raw_fd());
        // SAFETY: between fork and exec the closure makes system calls only, on a descriptor and strings made before.
        unsafe { command.pre_exec(join) };
        command
    }

    /// Runs a program to its end, at most 20 s. An error means that it could not run or did not end.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.run_with_input(arguments, "", RUN_TIMEOUT)
    }

    pub fn run_for_at_most(&self, arguments: &[&str], timeout: Duration) -> Result<Output> {
        self.run_with_input(arguments, "", timeout)
    }

    /// Runs a program that must succeed; returns its standard output.
    pub fn check(&self, arguments: &[&str]) -> Result<String> {
        self.check_with_input(arguments, "")
    }

    /// As [`Host::check`], with text on standard input.
    pub fn check_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        let output = self.run_with_input(arguments, input, RUN_TIMEOUT)?;
        ensure!(
            output.status.success(),
            "{arguments:?} in {} failed, {}: {}{}",
            self.name,
            output.status,
            output.stdout,
            output.stderr
        );
        Ok(output.stdout)
    }

    fn run_with_input(&self, arguments: &[&str], input: &str, timeout: Duration) -> Result<Output> {
        process::run(self.parse(arguments)?, input, timeout)
            .with_context(|| format!("{arguments:?} in {}", self.name))
    }

    /// Starts a program that is killed when the returned guard is dropped.
    pub fn spawn(&self, arguments: &[&str]) -> Result<Process> {
        Process::spawn(self.parse(arguments)?)
            .with_context(|| format!("{arguments:?} in {}", self.name))
    }

    fn parse(&self, arguments: &[&str]) -> Result<Command> {
        let [program, arguments @ ..] = arguments else {
            bail!("no program given")
        };
        let mut command = self.command(program);
        command.args(arguments);
        Ok(command)
    }

    /// Runs a closure on a thread inside the namespace. Sockets that it opens stay there, whoever uses them later.
    ///
    /// # Panics
    /// If the lab is gone, or the closure panics.
    pub fn enter<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        let namespace = self.open();
        let result = thread::scope(|scope| {
            thread::Builder::new()
                .name(thread::current().name().unwrap_or("lab").to_owned())
                .spawn_scoped(scope, || {
                    join(namespace.as_raw_fd())
                        .expect("a namespace that could be opened can be joined");
                    action()
                })
                .expect("a thread can be started")
                .join()
        });
        result.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    /// Writes below `/proc/sys`: `host.set_sysctl("net/ipv4/ip_forward", "1")`.
    pub fn set_sysctl(&self, path: &str, value: &str) -> Result<()> {
        self.enter(|| fs::write(Path::new("/proc/sys").join(path), value))
            .with_context(|| format!("cannot set {path} to {value} in {}", self.name))
    }

    /// Runs many `ip` commands in one process.
    pub fn ip_batch(&self, commands: &str) -> Result<()> {
        super::ip_batch(&["-n", &self.namespace], commands)
    }

    /// The kernel's number for a device of this host.
    pub fn device_index(&self, device: &str) -> Result<u32> {
        let name = std::ffi::CString::new(device)?;
        self.enter(|| {
            // SAFETY: the name is a C string that outlives the call.
            match unsafe { libc::if_nametoindex(name.as_ptr()) } {
                0 => Err(io::Error::last_os_error()),
                index => Ok(index),
            }
        })
        .with_context(|| format!("no device {device} in {}", self.name))
    }

    fn open(&self) -> File {
        let path = PathBuf::from(NAMESPACES).join(&self.namespace);
        File::open(&path).unwrap_or_else(|error| panic!("{} is gone: {error}", path.display()))
    }
}

fn join(namespace: RawFd) -> io::Result<()> {
    // SAFETY: setns takes no pointers; the caller holds the descriptor open.
    checked(unsafe { libc::setns(namespace, libc::CLONE_NEWNET) })
}

/// What `ip netns exec` does: the network namespace, and a mount namespace in which `/sys` belongs to it. The process
/// also asks to be killed with the thread that made it, so that a killed test leaves nothing running.
fn join_as_container(namespace: RawFd) -> io::Result<()> {
    join(namespace)?;
    // SAFETY: unshare takes no pointers.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let (root, sys, sysfs, none) = (
        c"/".as_ptr(),
        c"/sys".as_ptr(),
        c"sysfs".as_ptr(),
        c"none".as_ptr(),
    );
    let no_data = std::ptr::null::<libc::c_void>();
    // SAFETY: the strings are literals; a change of propagation reads neither source nor data.
    checked(unsafe {
        libc::mount(
            none,
            root,
            no_data.cast(),
            libc::MS_SLAVE | libc::MS_REC,
            no_data,
        )
    })?;
    // Nothing mounted on /sys is no reason to stop.
    // SAFETY: the string is a literal.
    unsafe { libc::umount2(sys, libc::MNT_DETACH) };
    // SAFETY: the strings are literals, and sysfs takes no data.
    checked(unsafe { libc::mount(sysfs, sys, sysfs, 0, no_data) })?;
    // SAFETY: this option takes one number.
    checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    pub const BROADCAST: Self = Self([0xff; 6]);

    pub const fn new(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) -> Self {
        Self([a, b, c, d, e, f])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}
