//! A web server in a lab's namespace.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Result;

use super::directory::Directory;
use super::process::Process;
use super::{Host, wait_until};
use crate::random::Random;

/// How long the server may take until it accepts connections.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// A running nginx that answers every request with a few bytes from memory. Killed on drop.
#[derive(Debug)]
pub struct Nginx {
    _process: Process,
    _directory: Directory,
}

impl Nginx {
    /// Serves at an address of the host, from one CPU.
    pub fn start(host: &Host, listen: SocketAddr, cpu: usize) -> Result<Self> {
        let configuration = configure(listen, "return 200 \"forwarded\\n\";");
        Self::configured(host, listen, cpu, &configuration, None)
    }

    /// Answers with 1 kB, and on `/large` with as many bytes at random.
    pub fn with_files(host: &Host, listen: SocketAddr, cpu: usize, bytes: usize) -> Result<Self> {
        let answer = format!("return 200 \"{}\";", "0123456789abcdef".repeat(64));
        let files = "}\n        location = /large {\n            sendfile on;\n";
        let configuration = configure(listen, &format!("{answer}\n        {files}"));
        Self::configured(host, listen, cpu, &configuration, Some(bytes))
    }

    fn configured(
        host: &Host,
        listen: SocketAddr,
        cpu: usize,
        text: &str,
        large: Option<usize>,
    ) -> Result<Self> {
        let directory = Directory::new()?;
        let configuration = directory.join("nginx.conf");
        fs::write(&configuration, text)?;
        if let Some(bytes) = large {
            fs::write(directory.join("large"), noise(bytes))?;
        }
        let mut process = host.spawn(&[
            "taskset",
            "--cpu-list",
            &cpu.to_string(),
            "nginx",
            "-e",
            "stderr",
            "-p",
            &directory.path().to_string_lossy(),
            "-c",
            &configuration.to_string_lossy(),
        ])?;
        wait_until("nginx accepts connections", READY_TIMEOUT, || {
            if let Some(status) = process.try_wait()? {
                anyhow::bail!("nginx ended ({status}):\n{}", process.log());
            }
            Ok(host.enter(|| TcpStream::connect(listen)).is_ok())
        })?;
        Ok(Self {
            _process: process,
            _directory: directory,
        })
    }
}

/// What a compressed file looks like.
fn noise(bytes: usize) -> Vec<u8> {
    let mut random = Random(1);
    let words = std::iter::repeat_with(|| random.number().to_le_bytes());
    words
        .take(bytes.div_ceil(8))
        .flatten()
        .take(bytes)
        .collect()
}

/// One process instead of a master and a worker, so that there is nobody to outlive the one that is killed. Every
/// path is below the directory that `-p` names.
fn configure(listen: SocketAddr, location: &str) -> String {
    format!(
        "daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{
    worker_connections 4096;
}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000000;
    root .;
    server {{
        listen {listen} backlog=4096;
        location / {{
            {location}
        }}
    }}
}}
"
    )
}
