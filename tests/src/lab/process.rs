//! Processes that cannot outlive their test.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a state that cannot be waited for is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// How long what a process wrote before it ended may take to be read. Its own children may hold its output open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a program that ended left.
#[derive(Debug, Clone)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

/// Runs a command to its end; kills it and fails if that takes longer than `timeout`.
pub(crate) fn run(mut command: Command, input: &str, timeout: Duration) -> Result<Output> {
    let stdin = if input.is_empty() {
        Stdio::null()
    } else {
        Stdio::piped()
    };
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input.as_bytes()) {
            // It may end without reading everything; its status says whether it minded.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
            _ => {}
        }
    }
    let status = wait(&mut child, timeout)?;
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    let stdout = stdout.join().unwrap_or_default();
    let stderr = stderr.join().unwrap_or_default();
    match status {
        Some(status) => Ok(Output {
            status,
            stdout,
            stderr,
        }),
        None => bail!("still running after {timeout:?}: {stdout}{stderr}"),
    }
}

fn read_all(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What came before an error is still worth showing.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + timeout;
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if Instant::now() >= deadline => return Ok(None),
            None => thread::sleep(POLL_INTERVAL),
        }
    }
}

/// A running program and everything that it wrote so far; killed on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    started_at: Instant,
    log: Arc<Mutex<String>>,
    followers: Vec<JoinHandle<()>>,
}

impl Process {
    pub(super) fn spawn(mut command: Command) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started_at = Instant::now();
        let mut child = command.spawn()?;
        let log = Arc::default();
        let followers = [
            child.stdout.take().map(|stream| follow(stream, &log)),
            child.stderr.take().map(|stream| follow(stream, &log)),
        ];
        Ok(Self {
            child,
            started_at,
            log,
            followers: followers.into_iter().flatten().collect(),
        })
    }

    /// Starts a program of this machine, in no lab; it is killed when the guard is dropped.
    pub fn start(program: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::spawn(command).with_context(|| program.to_owned())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The moment before the process was made.
    pub fn started_at(&self) -> Instant {
        self.started_at
    }

    /// Standard output and standard error, line by line as they came.
    pub fn log(&self) -> String {
        locked(&self.log).clone()
    }

    /// Waits until the log contains a text.
    pub fn wait_for_log(&mut self, text: &str, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while !locked(&self.log).contains(text) {
            if let Some(status) = self.child.try_wait()? {
                self.read_last_words();
                if locked(&self.log).contains(text) {
                    return Ok(());
                }
                bail!("ended ({status}) without saying {text:?}:\n{}", self.log());
            }
            if Instant::now() >= deadline {
                bail!("did not say {text:?} within {timeout:?}:\n{}", self.log());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// The exit status, if it has ended.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the end, and for all that was said until then; the process runs on if that takes too long.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let status = wait(&mut self.child, timeout)?
            .with_context(|| format!("still running after {timeout:?}:\n{}", self.log()))?;
        self.read_last_words();
        Ok(status)
    }

    fn read_last_words(&self) {
        let deadline = Instant::now() + LAST_WORDS;
        while self
            .followers
            .iter()
            .any(|follower| !follower.is_finished())
            && Instant::now() < deadline
        {
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Sends a signal, such as `libc::SIGTERM`. Does nothing once the process was waited for.
    pub fn signal(&mut self, signal: libc::c_int) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let id = libc::pid_t::try_from(self.child.id())?;
        // SAFETY: kill takes no pointers; the child has not been waited for, so the number is still its own.
        if unsafe { libc::kill(id, signal) } == -1 {
            return Err(io::Error::last_os_error().into());
        }
        Ok(())
    }

    /// Ends it with SIGKILL and waits.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(stream: impl Read + Send + 'static, log: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let log = Arc::clone(log);
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|length| length > 0)
        {
            locked(&log).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// A thread that panicked while it appended a line leaves a log that can still be read.
fn locked(log: &Mutex<String>) -> MutexGuard<'_, String> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
