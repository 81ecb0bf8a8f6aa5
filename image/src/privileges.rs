//! What the process may do, and giving up the rest.
//!
//! Ports come and go while the appliance runs, and another configuration may listen below port 1024, so what attaching
//! needs is needed to the end ([`NEEDED`], [`USEFUL`]). All else is gone before a second thread exists, since Linux has
//! capabilities for each thread: capabilities(7). No child and no program that the process becomes can have more again:
//! the bounding set is empty, and `no_new_privs` is set.
//!
//! What is left stays inheritable, so that a restart, which executes the program anew, still has it.
//!
//! # Limits
//! Emptying the bounding set takes CAP_SETPCAP. Without it the set holds what the engine gave.

use std::fmt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// Devices, routes, tc and XDP programs; packet and AF_XDP sockets.
const NEEDED: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::NET_RAW);
/// Maps and programs; programs that the verifier knows to be trusted.
const BPF: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON);
/// Memory for packets beyond RLIMIT_MEMLOCK, of ports that are yet to come as well; management below port 1024.
const USEFUL: CapabilitySet = CapabilitySet::IPC_LOCK.union(CapabilitySet::NET_BIND_SERVICE);
/// Files that belong to somebody else, as those of a mounted directory may.
const FILES: CapabilitySet = CapabilitySet::DAC_OVERRIDE;

/// Keeps what the appliance needs, and gives up all else. For a process of one thread.
///
/// # Errors
/// Something that is needed is missing.
pub(crate) fn confine(config: &Path, state_dir: &Path) -> Result<(), PrivilegeError> {
    let before = capabilities(None)?;
    let mut keep = kept(before.permitted)?;
    unlock_memory(before.effective);
    // By the files themselves: where they can be had without it, it goes.
    let without = CapabilitySets {
        effective: before.permitted.difference(FILES),
        ..before
    };
    set_capabilities(None, without)?;
    if before.permitted.contains(FILES) && !has_files(config, state_dir) {
        tracing::info!(
            "the configuration or the state directory belongs to another user: CAP_DAC_OVERRIDE is kept"
        );
        keep = keep.union(FILES);
    }
    // While CAP_SETPCAP is effective; what is to be inheritable must be so before.
    set_capabilities(
        None,
        CapabilitySets {
            effective: before.permitted,
            permitted: before.permitted,
            inheritable: keep,
        },
    )?;
    empty_bounding_set()?;
    clear_ambient_capability_set()?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: keep,
            permitted: keep,
            inheritable: keep,
        },
    )?;
    set_no_new_privs(true)?;
    tracing::debug!(kept = %Names(keep), "the rest of the capabilities is gone");
    Ok(())
}

/// Lets the program that this process becomes have what this one has, also where it is not root's.
pub(crate) fn hand_on() -> io::Result<()> {
    for capability in capabilities(None)?.permitted.iter() {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// Of what is permitted.
fn kept(permitted: CapabilitySet) -> Result<CapabilitySet, PrivilegeError> {
    let mut missing = NEEDED.difference(permitted);
    let mut keep = permitted.intersection(NEEDED.union(USEFUL).union(BPF));
    if !permitted.contains(BPF) {
        // Engines that do not know the two give this one, which stands for both.
        if permitted.contains(CapabilitySet::SYS_ADMIN) {
            keep = keep.union(CapabilitySet::SYS_ADMIN);
        } else {
            missing = missing.union(BPF.difference(permitted));
        }
    }
    if missing.is_empty() {
        Ok(keep)
    } else {
        Err(PrivilegeError::Missing(Missing {
            capabilities: missing,
            root: rustix::process::geteuid().is_root(),
        }))
    }
}

/// Packets' memory counts against a limit that containers have low. What can't be raised is told when it is needed.
fn unlock_memory(effective: CapabilitySet) {
    let limit = getrlimit(Resource::Memlock);
    let most = if effective.contains(CapabilitySet::SYS_RESOURCE) {
        None
    } else {
        limit.maximum
    };
    let raised = Rlimit {
        current: most,
        maximum: most,
    };
    if let Err(error) = setrlimit(Resource::Memlock, raised) {
        tracing::debug!(%error, "the limit of locked memory stays as it is");
    }
}

/// Whether the files can be had with what is effective. One that does not exist says nothing.
fn has_files(config: &Path, state_dir: &Path) -> bool {
    let may = |path: &Path, access| {
        !matches!(
            accessat(CWD, path, access, AtFlags::EACCESS),
            Err(io::Errno::ACCESS)
        )
    };
    may(config, Access::READ_OK)
        && may(
            state_dir,
            Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK,
        )
}

fn empty_bounding_set() -> io::Result<()> {
    /// linux/capability.h has 41, and there is room for so many.
    const CAPABILITIES: u32 = 64;
    for number in 0..CAPABILITIES {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(false) => continue,
            Ok(true) => {}
            // The kernel knows no more of them.
            Err(io::Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
        match remove_capability_from_bounding_set(capability) {
            Err(io::Errno::PERM) => {
                tracing::debug!("without CAP_SETPCAP the bounding set stays as it is");
                break;
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivilegeError {
    #[error("{0}")]
    Missing(Missing),
    #[error("privileges can't be given up: {0}")]
    System(#[from] io::Errno),
}

/// What is missing, and how to give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    capabilities: CapabilitySet,
    root: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Names(self.capabilities).to_string();
        let is_are = if self.capabilities.bits().count_ones() == 1 {
            "is"
        } else {
            "are"
        };
        write!(f, "not permitted: {names} {is_are} missing; ")?;
        if self.root {
            let flags = names.replace("CAP_", "--cap-add ").replace(',', "");
            write!(f, "docker run {flags}, or capabilities.add in Kubernetes")?;
        } else {
            f.write_str("run it as root, or with them as ambient capabilities")?;
        }
        if !CapabilitySet::SYS_ADMIN
            .union(BPF)
            .intersection(self.capabilities)
            .is_empty()
        {
            f.write_str(" (CAP_SYS_ADMIN where the engine does not know CAP_BPF and CAP_PERFMON)")?;
        }
        Ok(())
    }
}

/// `CAP_NET_ADMIN, CAP_NET_RAW`.
struct Names(CapabilitySet);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, _)) in self.0.iter_names().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}CAP_{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(permitted: CapabilitySet, root: bool) -> String {
        match kept(permitted) {
            Err(PrivilegeError::Missing(missing)) => Missing { root, ..missing }.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_appliance_needs_is_kept_and_nothing_else() {
        let enough = NEEDED.union(BPF);
        assert_eq!(kept(enough).unwrap(), enough);
        let all = CapabilitySet::from_bits_retain((1 << 41) - 1);
        assert_eq!(kept(all).unwrap(), enough.union(USEFUL));
        let old = NEEDED.union(CapabilitySet::SYS_ADMIN);
        assert_eq!(kept(old.union(FILES)).unwrap(), old);
    }

    #[test]
    fn what_is_missing_is_named_with_how_to_give_it() {
        assert_eq!(
            missing(BPF.union(CapabilitySet::NET_RAW), true),
            "not permitted: CAP_NET_ADMIN is missing; docker run --cap-add NET_ADMIN, or capabilities.add in Kubernetes"
        );
        assert_eq!(
            missing(NEEDED, true),
            "not permitted: CAP_PERFMON, CAP_BPF are missing; docker run --cap-add PERFMON --cap-add BPF, or capabilities.add in Kubernetes (CAP_SYS_ADMIN where the engine does not know CAP_BPF and CAP_PERFMON)"
        );
        let said = missing(CapabilitySet::empty(), false);
        assert!(said.contains("ambient"), "{said}");
        for name in ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "CAP_PERFMON"] {
            assert!(said.contains(name), "{said}");
        }
    }
}
