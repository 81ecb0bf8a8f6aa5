//! `palisade lab` from the outside: what it prints, how it exits, and that nothing stays.
//!
//! Labs are real: these tests need root and iproute2.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(40);
const NOTHING: [PathBuf; 0] = [];

/// A lab's process; whatever it left is told by [`left`].
struct Lab {
    process: Child,
}

struct Ended {
    pid: u32,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Lab {
    fn start(words: &[&str]) -> Self {
        Self::start_with(
            Command::new(env!("CARGO_BIN_EXE_palisade"))
                .arg("lab")
                .args(words),
        )
    }

    /// Its appliance ends at once: it can't read its log filter.
    fn start_broken(words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
        Self::start_with(command.arg("lab").args(words).env("RUST_LOG", "a=b=c"))
    }

    fn start_with(command: &mut Command) -> Self {
        let piped = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            process: piped.spawn().unwrap(),
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Prints lines until one contains `word`.
    fn wait_for(&mut self, word: &str) -> String {
        let stdout = self.process.stdout.as_mut().unwrap();
        let mut lines = BufReader::new(stdout).lines().map(Result::unwrap);
        lines
            .find(|line| line.contains(word))
            .expect("the lab says more")
    }

    fn ended(mut self) -> Ended {
        let start = Instant::now();
        while self.process.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE, "the lab does not end");
            sleep(Duration::from_millis(20));
        }
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.process
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        self.process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        let code = self.process.wait().unwrap().code();
        Ended {
            pid: self.process.id(),
            code,
            stdout,
            stderr,
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.process.kill().unwrap_or_default();
        self.process.wait().unwrap();
    }
}

/// Namespaces, directories and processes that bear the lab's name.
fn left(pid: u32) -> Vec<PathBuf> {
    let name = format!("palisade-lab-{pid}");
    let mut left: Vec<PathBuf> = ["/run", "/run/netns"]
        .into_iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let found = path.file_name().unwrap().to_string_lossy().into_owned();
            found == name || found.starts_with(&format!("{name}-"))
        })
        .collect();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&name) {
            left.push(process.path());
        }
    }
    left
}

fn can_run(test: &str) -> bool {
    let root =
        fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !root {
        eprintln!("SKIPPED {test}: a lab needs root");
    }
    root
}

#[test]
fn all_traffic_goes_as_configured() {
    if !can_run("all_traffic_goes_as_configured") {
        return;
    }
    let ended = Lab::start(&["--once"]).ended();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout.matches('✓').count(), 7, "{}", ended.stdout);
    assert_eq!(left(ended.pid), NOTHING);
}

#[test]
fn a_lab_stays_and_serves_the_api_until_it_is_interrupted() {
    if !can_run("a_lab_stays_and_serves_the_api_until_it_is_interrupted") {
        return;
    }
    let mut lab = Lab::start(&["--listen", "127.0.0.1:0"]);
    let line = lab.wait_for("curl http://127.0.0.1");
    let address = line.trim().strip_prefix("curl http://").unwrap();
    let address = address.strip_suffix("/api/v1/sessions").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "GET /api/v1/sessions HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"policy\":\"web-out\""), "{answer}");
    lab.signal("-INT");
    let ended = lab.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(left(ended.pid), NOTHING);
}

#[test]
fn an_appliance_that_fails_is_heard_and_nothing_stays() {
    if !can_run("an_appliance_that_fails_is_heard_and_nothing_stays") {
        return;
    }
    let ended = Lab::start_broken(&["--once"]).ended();
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(
        ended
            .stderr
            .contains("palisade: error: the environment: RUST_LOG=a=b=c"),
        "{}",
        ended.stderr
    );
    assert!(
        ended
            .stderr
            .contains("error: palisade ended: exit status: 2"),
        "{}",
        ended.stderr
    );
    assert_eq!(left(ended.pid), NOTHING);
}

#[test]
fn a_port_that_is_taken_is_an_error_before_anything_is_made() {
    if !can_run("a_port_that_is_taken_is_an_error_before_anything_is_made") {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Lab::start(&["--listen", &address]).ended();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.is_empty());
    let expected = format!("error: cannot serve the API at {address}: Address already in use");
    assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
}

#[test]
fn what_a_killed_lab_left_goes_and_what_a_living_one_has_stays() {
    if !can_run("what_a_killed_lab_left_goes_and_what_a_living_one_has_stays") {
        return;
    }
    // Above the kernel's largest process number, so that no lab has these names.
    let (dead, living) = (5_000_001, 5_000_002);
    for pid in [dead, living] {
        fs::create_dir_all(format!("/run/palisade-lab-{pid}/state")).unwrap();
        namespace("add", pid);
    }
    let mut stray = Command::new("ip")
        .args([
            "netns",
            "exec",
            &format!("palisade-lab-{dead}-firewall"),
            "sleep",
            "60",
        ])
        .spawn()
        .unwrap();
    // Until `ip` has become it, it is not in the namespace.
    let name = format!("/proc/{}/comm", stray.id());
    while fs::read_to_string(&name).unwrap() != "sleep\n" {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let held = File::open(format!("/run/palisade-lab-{living}")).unwrap();
    held.lock().unwrap();

    Lab::start_broken(&["--once"]).ended();
    let (of_dead, of_living) = (left(dead), left(living));
    let stray_ended = stray.try_wait().unwrap().is_some();

    stray.kill().unwrap_or_default();
    stray.wait().unwrap();
    drop(held);
    namespace("delete", living);
    fs::remove_dir_all(format!("/run/palisade-lab-{living}")).unwrap();
    assert_eq!(of_dead, NOTHING);
    assert!(stray_ended);
    assert_eq!(of_living.len(), 2, "{of_living:?}");
}

fn namespace(action: &str, pid: u32) {
    let name = format!("palisade-lab-{pid}-firewall");
    assert!(
        Command::new("ip")
            .args(["netns", action, &name])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn the_configuration_can_be_read_before_it_is_used() {
    let shown = Lab::start(&["--show-config"]).ended();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-{}.yaml", shown.pid));
    fs::write(&file, &shown.stdout).unwrap();
    let check = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .arg("check")
        .arg(&file)
        .output()
        .unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(check.status.code(), Some(0));
}
