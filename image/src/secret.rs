//! Secrets that people type: read without showing them, or from a pipe. Never from the command line,
//! which every user of the machine can read.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// More than any password may have.
const BYTES_MAX: u64 = 1024;

/// Asks at the terminal, twice where it is a `new` one; where standard input is no terminal, reads a line of it.
pub(crate) fn ask(what: &str, new: bool) -> Result<String, SecretError> {
    if !io::stdin().is_terminal() {
        return line(io::stdin().lock());
    }
    let secret = typed(&format!("{what}: "))?;
    if new && typed(&format!("{what}, again: "))? != secret {
        return Err(SecretError::Different);
    }
    Ok(secret)
}

fn line(input: impl BufRead) -> Result<String, SecretError> {
    let mut line = String::new();
    input.take(BYTES_MAX).read_line(&mut line)?;
    let secret = line.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(SecretError::Nothing);
    }
    Ok(secret.to_owned())
}

fn typed(prompt: &str) -> Result<String, SecretError> {
    let _quiet = Quiet::begin()?;
    eprint!("{prompt}");
    io::stderr().flush()?;
    let secret = keys(io::stdin().lock().take(BYTES_MAX).bytes());
    eprintln!();
    secret
}

/// A line, with the keys that change it.
fn keys(bytes: impl Iterator<Item = io::Result<u8>>) -> Result<String, SecretError> {
    const INTERRUPT: u8 = 0x03;
    const END: u8 = 0x04;
    const BACKSPACE: u8 = 0x08;
    const KILL_LINE: u8 = 0x15;
    const DELETE: u8 = 0x7f;

    let mut secret = Vec::new();
    for byte in bytes {
        match byte? {
            b'\r' | b'\n' => break,
            INTERRUPT => return Err(SecretError::Interrupted),
            END if secret.is_empty() => break,
            KILL_LINE => secret.clear(),
            // Back to the first byte of the last character.
            BACKSPACE | DELETE => while secret.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            byte => secret.push(byte),
        }
    }
    if secret.is_empty() {
        return Err(SecretError::Nothing);
    }
    String::from_utf8(secret).map_err(|error| SecretError::Input(io::Error::other(error)))
}

/// A terminal that shows nothing of what is typed, and is again as it was afterwards.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        // With ISIG, Ctrl-C would leave the terminal quiet.
        quiet
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ISIG | LocalModes::ICANON);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        tcsetattr(io::stdin(), OptionalActions::Flush, &self.0).unwrap_or_default();
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("cannot read what is typed: {0}")]
    Input(#[from] io::Error),
    #[error("nothing was typed")]
    Nothing,
    #[error("these are two different passwords")]
    Different,
    #[error("interrupted")]
    Interrupted,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(keys: &[u8]) -> Result<String, String> {
        let bytes = keys.iter().map(|&byte| Ok(byte));
        super::keys(bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_change_the_line_as_a_shell_does() {
        assert_eq!(after(b"horse\nmore").as_deref(), Ok("horse"));
        assert_eq!(after("hü\x7f\x08orse".as_bytes()).as_deref(), Ok("orse"));
        assert_eq!(after(b"wrong\x15right\r").as_deref(), Ok("right"));
        assert_eq!(after(b"\x7f\x7fa\n").as_deref(), Ok("a"));
        assert_eq!(after(b"ho\x03rse\n").unwrap_err(), "interrupted");
        assert_eq!(after(b"\x04").unwrap_err(), "nothing was typed");
    }

    #[test]
    fn a_pipe_gives_one_line() {
        assert_eq!(
            line(&b"correct horse\r\nmore"[..]).unwrap(),
            "correct horse"
        );
        assert!(line(&b"\n"[..]).is_err());
    }
}
