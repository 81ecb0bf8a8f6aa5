//! Work inside a network namespace: a thread enters it, does what is to be done, and ends.
//!
//! Sockets that it opens stay there, whoever uses them later.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::AsFd;

use super::tools::NAMESPACES;

/// Runs `action` in a namespace of `ip netns`.
pub(super) fn within<T: Send>(
    namespace: &str,
    action: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let file = File::open(Path::new(NAMESPACES).join(namespace))?;
    thread::scope(|scope| {
        let entered = thread::Builder::new()
            .name("namespace".to_owned())
            .spawn_scoped(scope, || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                action()
            })?;
        entered
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Writes below `/proc/sys/net` of a namespace. What this kernel does not have is left out where it is `optional`.
pub(super) fn set(namespace: &str, values: &[(String, &str)]) -> io::Result<()> {
    within(namespace, || {
        for (name, value) in values {
            let path = Path::new("/proc/sys/net").join(name);
            fs::write(&path, value).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
        }
        Ok(())
    })
}

/// What kernels without IPv6 do not have.
pub(super) fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}
