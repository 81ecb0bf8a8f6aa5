//! Without any engine: an OCI bundle under runc, which knows every capability. There the appliance runs as a user who
//! is not root, with the least that the kernel asks for.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use archive::{Content, Entry};
use palisade_tests::engine::images;
use palisade_tests::lab::{Chain, Directory, Host, Lab, Process, report_skipped, status};
use palisade_tests::require_lab;
use serde_json::{Value, json};

const RUNC: &str = "/usr/sbin/runc";
/// What the image's directories belong to.
const USER: u32 = 65532;
const PATIENCE: Duration = Duration::from_secs(30);
/// Linux 5.8 and later. Memory for packets counts against the limit of locked memory of a user who has nothing else here.
const LEAST: [&str; 4] = ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "CAP_PERFMON"];

const CONFIGURATION: &str = "version: 1\n\
    interfaces:\n\
    \x20 left: { device: eth1, addresses: [192.0.2.1/24] }\n\
    \x20 right: { device: eth2, addresses: [198.51.100.1/24] }\n\
    zones:\n\
    \x20 trust: { interfaces: [left] }\n\
    \x20 untrust: { interfaces: [right] }\n\
    policies:\n\
    \x20 - { name: ping, from: trust, to: untrust, application: ping, action: permit }\n";

#[test]
fn a_user_who_is_not_root_forwards_with_four_ambient_capabilities() -> Result<()> {
    require_lab!();
    let Some(bundle) = Bundle::new("ambient")? else {
        return Ok(());
    };
    let mut container = bundle.start(&LEAST)?;
    let deadline = Instant::now() + PATIENCE;
    while !bundle.is_ready() {
        let ended = container.try_wait()?;
        ensure!(
            ended.is_none() && Instant::now() < deadline,
            "{}",
            container.log()
        );
        thread::sleep(Duration::from_millis(50));
    }
    bundle
        .chain
        .client
        .check(&["ping", "-n", "-c1", "-W8", "198.51.100.10"])?;
    let status = fs::read_to_string(format!("/proc/{}/status", bundle.process()?))?;
    let user = format!("Uid:\t{USER}\t{USER}\t{USER}\t{USER}");
    ensure!(status.contains(&user), "{status}");
    Ok(())
}

#[test]
fn each_of_the_four_is_needed_and_named_when_it_is_missing() -> Result<()> {
    require_lab!();
    let Some(bundle) = Bundle::new("missing")? else {
        return Ok(());
    };
    for missing in &LEAST {
        let others: Vec<&str> = LEAST.into_iter().filter(|it| it != missing).collect();
        let mut container = bundle.start(&others)?;
        let status = container.wait(PATIENCE)?;
        let log = container.log();
        ensure!(
            status.code() == Some(7),
            "{status} without {missing}:\n{log}"
        );
        ensure!(log.contains(missing), "without {missing}:\n{log}");
    }
    Ok(())
}

/// A root file system, and a chain whose `fw` it joins.
struct Bundle {
    directory: Directory,
    chain: Chain,
}

impl Bundle {
    /// None, having said so, where runc is missing.
    fn new(name: &str) -> Result<Option<Self>> {
        if !Path::new(RUNC).exists() {
            report_skipped(name, "runc is missing");
            return Ok(None);
        }
        let bundle = Self {
            directory: Directory::new()?,
            chain: Lab::chain(name)?,
        };
        for entry in images::palisade_entries()? {
            bundle.unpack(&entry)?;
        }
        fs::write(bundle.root("etc/palisade/palisade.yaml"), CONFIGURATION)?;
        Ok(Some(bundle))
    }

    fn root(&self, path: &str) -> std::path::PathBuf {
        self.directory.join("root").join(path)
    }

    fn unpack(&self, entry: &Entry) -> Result<()> {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        let path = self.root(&entry.path);
        fs::create_dir_all(path.parent().context("an entry lies below the root")?)?;
        match &entry.content {
            Content::Directory => fs::create_dir_all(&path)?,
            Content::File(bytes) => fs::write(&path, bytes)?,
            Content::Symlink(target) => return Ok(std::os::unix::fs::symlink(target, &path)?),
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode))?;
        let (user, group) = (entry.owner.user.try_into()?, entry.owner.group.try_into()?);
        Ok(chown(&path, Some(user), Some(group))?)
    }

    fn start(&self, capabilities: &[&str]) -> Result<Process> {
        let specification = specification(&self.chain.fw, capabilities).to_string();
        fs::write(self.directory.join("config.json"), specification)?;
        let (bundle, state) = (self.directory.path(), self.directory.join("runc"));
        Process::start(
            RUNC,
            &[
                "--root",
                &state.to_string_lossy(),
                "run",
                "--bundle",
                &bundle.to_string_lossy(),
                &self.name(),
            ],
        )
    }

    fn name(&self) -> String {
        self.chain.fw.namespace().to_owned()
    }

    fn is_ready(&self) -> bool {
        let socket = |id| format!("/proc/{id}/root/run/palisade/api.sock");
        let answer = self
            .process()
            .and_then(|id| status(Path::new(&socket(id)), "/readyz"));
        answer.is_ok_and(|status| status == 200)
    }

    /// The appliance, in this machine's numbers.
    fn process(&self) -> Result<u64> {
        let state = self
            .directory
            .join("runc")
            .join(self.name())
            .join("state.json");
        let state: Value = serde_json::from_str(&fs::read_to_string(state)?)?;
        state["init_process_pid"].as_u64().context("no process")
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let state = self.directory.join("runc");
        let (state, name) = (state.to_string_lossy(), self.name());
        // One that has ended is gone already.
        if let Ok(mut delete) =
            Process::start(RUNC, &["--root", &state, "delete", "--force", &name])
        {
            let _ = delete.wait(PATIENCE);
        }
    }
}

/// OCI runtime specification 1.0: a read-only root, no new privileges, and no other namespace than the lab's network.
fn specification(host: &Host, capabilities: &[&str]) -> Value {
    let namespace = format!("/run/netns/{}", host.namespace());
    let sets = [
        "bounding",
        "effective",
        "permitted",
        "inheritable",
        "ambient",
    ];
    let sets: serde_json::Map<String, Value> = sets
        .into_iter()
        .map(|set| (set.to_owned(), json!(capabilities)))
        .collect();
    let own = [
        "nosuid",
        "nodev",
        "noexec",
        "mode=700",
        &format!("uid={USER}"),
        &format!("gid={USER}"),
    ];
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": USER, "gid": USER },
            "args": ["/palisade", "run"],
            "cwd": "/",
            "capabilities": sets,
            "noNewPrivileges": true,
        },
        "root": { "path": "root", "readonly": true },
        "mounts": [
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/run/palisade", "type": "tmpfs", "source": "tmpfs", "options": own },
            { "destination": "/var/lib/palisade", "type": "tmpfs", "source": "tmpfs", "options": own },
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
        ],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "network", "path": namespace },
            ],
        },
    })
}
