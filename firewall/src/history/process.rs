//! What the appliance takes of the machine, as the kernel tells it in `/proc`.
//!
//! # Limits
//! Without `/proc` in its namespace, only the process's processor time is known.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessTotals {
    /// Of all threads since the start.
    pub busy: Duration,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
}

impl ProcessTotals {
    /// Asks the kernel.
    #[must_use]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let busy = Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32);
        let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let (virtual_bytes, resident_bytes) = sizes(&pages).unwrap_or_default();
        Self {
            busy,
            resident_bytes,
            virtual_bytes,
        }
    }
}

/// Files that the process has open.
#[must_use]
pub fn open_files() -> Option<u64> {
    // One of them is the directory itself.
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    open.checked_sub(1)
}

/// How long a thread of this process has been on a processor.
pub(crate) fn thread_busy(thread: i32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    let nanoseconds = text.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// proc(5), statm: all pages, then those that are resident.
fn sizes(statm: &str) -> Option<(u64, u64)> {
    let page = rustix::param::page_size() as u64;
    let mut pages = statm.split_ascii_whitespace();
    let mut next = || Some(pages.next()?.parse::<u64>().ok()? * page);
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_and_its_threads_are_measured() {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        let before = thread_busy(thread);
        let spun: u64 = (0..3_000_000u64).map(std::hint::black_box).sum();
        assert!(spun > 0);
        let totals = ProcessTotals::now();
        assert!(totals.busy > Duration::ZERO && totals.resident_bytes > 0);
        assert!(totals.virtual_bytes >= totals.resident_bytes);
        assert!(open_files() > Some(2));
        if let (Some(before), Some(after)) = (before, thread_busy(thread)) {
            assert!(after > before);
        }
    }
}
