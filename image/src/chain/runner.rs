//! What runs in an instance or host: started, watched, and started again when it ends.
//!
//! A plain command that ends well has set something up, and is not started again.

use std::env;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::container::{self, Container};
use super::log::Log;
use super::plan::{Home, Part};
use super::tools::ToolError;

/// It lets what is under way finish, then takes itself off its devices.
const STOP_TIME: Duration = Duration::from_secs(8);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Who ran for longer is not in a loop.
const RAN_WELL: Duration = Duration::from_secs(60);
/// Longer lines are cut.
const LINE_MAX_BYTES: u64 = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Running {
    Runs,
    /// It has set up what it was to, and ended.
    SetUp,
    Ended(String),
}

/// What is to run, and where.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) name: String,
    pub(super) what: What,
    pub(super) log: Log,
}

#[derive(Debug)]
pub(super) enum What {
    Program {
        namespace: String,
        words: Vec<String>,
        /// Ending well is all that it has to do.
        may_end: bool,
    },
    Container(Box<Container>),
}

impl What {
    /// `None` where nothing is to run: the kernel does it all.
    pub(super) fn of(part: &Part, directory: &Path, container: Option<Container>) -> Option<Self> {
        if let Some(container) = container {
            return Some(Self::Container(Box::new(container)));
        }
        let words = if part.palisade {
            let file = |name: &str| directory.join(name).display().to_string();
            let program = env::current_exe().unwrap_or_else(|_| "palisade".into());
            vec![
                program.display().to_string(),
                "run".to_owned(),
                "--config".to_owned(),
                file("palisade.yaml"),
                "--state-dir".to_owned(),
                file("state"),
                "--socket".to_owned(),
                file("api.sock"),
            ]
        } else {
            part.command.clone()
        };
        if words.is_empty() || part.home != Home::Made {
            return None;
        }
        Some(Self::Program {
            namespace: part.namespace.clone(),
            words,
            may_end: !part.palisade,
        })
    }
}

impl Runner {
    /// Runs until `stop` says so, and tells of every change.
    pub(super) async fn run(
        mut self,
        changes: mpsc::Sender<(String, Running)>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut pause = FIRST_PAUSE;
        let mut first = true;
        loop {
            let began = Instant::now();
            let started = tokio::select! {
                started = self.start(first) => started,
                () = asked(&mut stop) => return,
            };
            let ended = match started {
                Ok(mut process) => {
                    self.tell(&changes, Running::Runs).await;
                    tokio::select! {
                        ended = process.ended(&self.log, &self.name) => ended,
                        () = asked(&mut stop) => return process.stop().await,
                    }
                }
                Err(error) => Running::Ended(error.to_string()),
            };
            first = false;
            if let Running::Ended(reason) = &ended {
                self.log.say(&self.name, reason);
            }
            let over = ended == Running::SetUp;
            self.tell(&changes, ended).await;
            if over {
                // Nobody who stops the chain waits for this one.
                return;
            }
            if began.elapsed() > RAN_WELL {
                pause = FIRST_PAUSE;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = asked(&mut stop) => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn tell(&self, changes: &mpsc::Sender<(String, Running)>, running: Running) {
        // A supervisor that has gone needs no telling.
        changes
            .send((self.name.clone(), running))
            .await
            .unwrap_or_default();
    }

    async fn start(&mut self, first: bool) -> Result<Process, RunError> {
        match &mut self.what {
            What::Program {
                namespace,
                words,
                may_end,
            } => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).args(words);
                Ok(Process::spawn(command, *may_end, &self.log, &self.name)?)
            }
            What::Container(container) => {
                // The chain's network was laid to the first one's.
                if !first {
                    container.start_again().await?;
                }
                let process = Process::spawn(container.wait(), false, &self.log, &self.name)?;
                Ok(Process {
                    container: Some(container.name().to_owned()),
                    ..process
                })
            }
        }
    }
}

/// Completes when all is to end.
async fn asked(stop: &mut watch::Receiver<bool>) {
    // A supervisor that has gone wants the same.
    stop.wait_for(|stop| *stop)
        .await
        .map(drop)
        .unwrap_or_default();
}

struct Process {
    child: Child,
    may_end: bool,
    /// The child only waits for it.
    container: Option<String>,
}

impl Process {
    fn spawn(mut command: Command, may_end: bool, log: &Log, name: &str) -> io::Result<Self> {
        let mut child = command
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        follow(child.stdout.take(), log, name);
        follow(child.stderr.take(), log, name);
        Ok(Self {
            child,
            may_end,
            container: None,
        })
    }

    async fn ended(&mut self, log: &Log, name: &str) -> Running {
        let status = self.child.wait().await;
        if let Some(container) = &self.container {
            for line in container::last_lines(container).await {
                log.say(name, &line);
            }
            return Running::Ended("the container ended".to_owned());
        }
        match status {
            Ok(status) if status.success() && self.may_end => Running::SetUp,
            Ok(status) => Running::Ended(said(status)),
            Err(error) => Running::Ended(error.to_string()),
        }
    }

    /// Asks it to end, and makes it end if it doesn't. Containers are removed as a whole later.
    async fn stop(mut self) {
        if self.container.is_some() {
            return;
        }
        let group = self.child.id().and_then(|id| i32::try_from(id).ok());
        let group = group.and_then(Pid::from_raw);
        for signal in [Signal::TERM, Signal::KILL] {
            if let Some(group) = group {
                // One that has ended is what was wanted.
                kill_process_group(group, signal).unwrap_or_default();
            }
            if timeout(STOP_TIME, self.child.wait()).await.is_ok() {
                return;
            }
        }
    }
}

fn said(status: ExitStatus) -> String {
    format!("the process ended: {status}")
}

fn follow(stream: Option<impl AsyncRead + Unpin + Send + 'static>, log: &Log, name: &str) {
    let Some(stream) = stream else { return };
    let (log, name) = (log.clone(), name.to_owned());
    tokio::spawn(async move {
        use tokio::io::AsyncReadExt;
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            let read = (&mut reader)
                .take(LINE_MAX_BYTES)
                .read_until(b'\n', &mut line)
                .await;
            if !read.is_ok_and(|bytes| bytes > 0) {
                return;
            }
            log.say(&name, String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    });
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    #[error(transparent)]
    Tool(#[from] ToolError),
}
