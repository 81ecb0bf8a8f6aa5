//! Removing namespaces, the processes in them, and what killed test processes left.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Marks namespaces and directories as a lab's.
pub(super) const PREFIX: &str = "pal-";

/// Removes the namespaces and directories of test processes that are gone.
pub(super) fn leftovers() {
    for namespace in abandoned(Path::new("/run/netns")) {
        remove_namespace(&namespace);
    }
    let temporary = std::env::temp_dir();
    for directory in abandoned(&temporary) {
        // Another process may be sweeping too.
        let _ = fs::remove_dir_all(temporary.join(directory));
    }
}

/// Entries called `pal-PID-…` whose process is gone.
pub(super) fn abandoned(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            let id = name
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.split('-').next());
            id.and_then(|id| id.parse::<u32>().ok())
                .is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists())
        })
        .collect()
}

/// Kills the processes inside a namespace, then removes it. Used while dropping, so failures are not reported.
pub(super) fn remove_namespace(namespace: &str) {
    let path = Path::new("/run/netns").join(namespace);
    let Ok(metadata) = fs::metadata(&path) else {
        return;
    };
    for id in processes_in(metadata.ino()) {
        // SAFETY: kill takes no pointers. The process is in a namespace that only a lab uses.
        unsafe { libc::kill(id, libc::SIGKILL) };
    }
    let _ = Command::new("ip")
        .args(["netns", "del", namespace])
        .stderr(Stdio::null())
        .status();
}

fn processes_in(namespace_inode: u64) -> Vec<libc::pid_t> {
    let own_id = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|id| *id != own_id)
        .filter(|id| {
            fs::metadata(format!("/proc/{id}/ns/net")).is_ok_and(|ns| ns.ino() == namespace_inode)
        })
        .filter_map(|id| libc::pid_t::try_from(id).ok())
        .collect()
}
