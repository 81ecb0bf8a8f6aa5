//! The program again, in the process that it runs in, which a container's engine watches: to start anew, and to get
//! rid of a secret in its environment.

use std::env;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::environment::{PASSWORD_FILE, secrets};
use crate::privileges;

/// Standard input, where there is no /dev.
const STDIN: &str = "/proc/self/fd/0";

/// A process's environment can be read for as long as it lives: where a secret is in it, this program takes its own
/// place without that, and finds the secret in a pipe. For a process of one thread.
///
/// # Errors
/// That can't be.
pub(crate) fn without_secrets() -> io::Result<()> {
    let given: Vec<_> = secrets()
        .filter_map(|name| Some((env::var(&name).ok()?, name)))
        .collect();
    let Some((secret, _)) = given.iter().find(|(secret, _)| !secret.is_empty()) else {
        return Ok(());
    };
    let mut command = again();
    for (_, name) in &given {
        command.env_remove(name);
    }
    let (read, mut write) = io::pipe()?;
    // It was found good, so it is short, and a pipe holds more.
    write.write_all(secret.as_bytes())?;
    drop(write);
    command.env(PASSWORD_FILE, STDIN).stdin(read);
    Err(command.exec())
}

/// With the same arguments, and nothing that was open. Returns only where that can't be.
pub(crate) fn anew() -> io::Error {
    if let Err(error) = privileges::hand_on() {
        return error.into();
    }
    let mut command = again();
    // What was in that pipe has been read.
    if env::var(PASSWORD_FILE).is_ok_and(|path| path == STDIN) {
        command.env_remove(PASSWORD_FILE);
    }
    command.exec()
}

fn again() -> Command {
    let mut arguments = env::args_os();
    let mut command = Command::new("/proc/self/exe");
    command.arg0(arguments.next().unwrap_or_else(|| "palisade".into()));
    command.args(arguments);
    command
}
