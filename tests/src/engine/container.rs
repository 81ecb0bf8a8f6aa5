//! One container.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Engine;
use crate::lab::Output;

/// A container, which its lab removes.
#[derive(Debug, Clone)]
pub struct Container {
    pub(super) engine: &'static Engine,
    pub name: String,
}

/// How long what must happen may take; much more than it should need, since machines get busy.
const PATIENCE: Duration = Duration::from_secs(30);

impl Container {
    /// Runs a program inside.
    pub fn exec(&self, arguments: &[&str]) -> Result<Output> {
        let mut line = vec!["exec", &self.name];
        line.extend(arguments);
        self.engine.try_docker(&line)
    }

    /// Runs a program inside that must succeed; returns its standard output.
    pub fn check(&self, arguments: &[&str]) -> Result<String> {
        let mut line = vec!["exec", &self.name];
        line.extend(arguments);
        self.engine.docker(&line)
    }

    pub fn start(&self) -> Result<()> {
        self.engine.docker(&["start", &self.name])?;
        Ok(())
    }

    /// By SIGTERM; returns the exit code.
    pub fn stop(&self) -> Result<i64> {
        self.engine.docker(&["stop", "--time", "30", &self.name])?;
        self.exit_code()
    }

    /// Everything that it said, since it was made.
    pub fn log(&self) -> Result<String> {
        let output = self.engine.try_docker(&["logs", &self.name])?;
        Ok(output.stdout + &output.stderr)
    }

    /// Waits until its log has a text; fails if it ends without it.
    pub fn wait_for_log(&self, text: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let running = self.is_running()?;
            let log = self.log()?;
            if log.contains(text) {
                return Ok(log);
            }
            if !running || Instant::now() >= deadline {
                bail!("{} did not say {text:?}:\n{log}", self.name);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until it has ended by itself; its exit code and its log.
    pub fn wait(&self) -> Result<(i64, String)> {
        let deadline = Instant::now() + PATIENCE;
        while self.is_running()? {
            if Instant::now() >= deadline {
                bail!("{} still runs:\n{}", self.name, self.log()?);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok((self.exit_code()?, self.log()?))
    }

    /// Waits until the engine's health check says so: `healthy`, `unhealthy`.
    pub fn wait_for_health(&self, status: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let health = &self.state()?["Health"];
            if health["Status"] == status {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{} is not {status}: {health:#}", self.name);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn is_running(&self) -> Result<bool> {
        Ok(self.state()?["Running"] == true)
    }

    pub fn exit_code(&self) -> Result<i64> {
        let state = self.state()?;
        state["ExitCode"].as_i64().context("no exit code")
    }

    /// What `docker inspect` says under `State`.
    pub fn state(&self) -> Result<Value> {
        let json = "{{json .State}}";
        let text = self
            .engine
            .docker(&["inspect", "--format", json, &self.name])?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Its first process, in this machine's numbers.
    pub fn process(&self) -> Result<u64> {
        let state = self.state()?;
        state["Pid"]
            .as_u64()
            .filter(|&id| id > 0)
            .context("it does not run")
    }

    /// A file of its own, as this machine sees it while the container runs.
    pub fn path(&self, inside: &str) -> Result<PathBuf> {
        Ok(format!("/proc/{}/root{inside}", self.process()?).into())
    }
}
