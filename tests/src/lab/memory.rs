//! What a process takes of the machine's memory, in userspace and in the kernel.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result};

/// Resident memory, from `/proc/PID/status`, and the BPF maps that a process holds open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub resident_kib: u64,
    pub anonymous_kib: u64,
    /// Mapped files, and BPF maps among them.
    pub file_kib: u64,
    pub shared_kib: u64,
    /// The part of the resident memory that is pages of mapped BPF maps.
    pub mapped_bpf_kib: u64,
    /// The kernel's memory for BPF maps, whether they are mapped or not.
    pub bpf_maps_bytes: u64,
}

impl Memory {
    pub fn of(process_id: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process_id}/status"))?;
        let status = |name: &str| {
            kib(&status, name).with_context(|| format!("no {name} in /proc/{process_id}/status"))
        };
        Ok(Self {
            resident_kib: status("VmRSS")?,
            anonymous_kib: status("RssAnon")?,
            file_kib: status("RssFile")?,
            shared_kib: status("RssShmem")?,
            mapped_bpf_kib: mapped_bpf_kib(process_id)?,
            bpf_maps_bytes: bpf_maps_bytes(process_id)?,
        })
    }

    /// Userspace's own, without the pages of BPF maps that it maps.
    pub fn resident_bytes(&self) -> u64 {
        self.resident_kib.saturating_sub(self.mapped_bpf_kib) * 1024
    }

    /// Userspace and the kernel's BPF maps together, each page once.
    pub fn total_bytes(&self) -> u64 {
        self.resident_bytes() + self.bpf_maps_bytes
    }
}

/// What `/proc/PID/smaps` says of mappings whose file is a BPF map.
fn mapped_bpf_kib(process_id: u32) -> Result<u64> {
    let smaps = fs::read_to_string(format!("/proc/{process_id}/smaps"))?;
    Ok(resident_in_mappings_of(&smaps, "bpf-map"))
}

fn resident_in_mappings_of(smaps: &str, file: &str) -> u64 {
    let mut sum = 0;
    let mut is_wanted = false;
    for line in smaps.lines() {
        let first_word = line.split(' ').next().unwrap_or_default();
        if !first_word.ends_with(':') {
            // `START-END PERMISSIONS OFFSET DEVICE INODE FILE` opens a mapping.
            is_wanted = line.contains(file);
        } else if is_wanted {
            sum += kib(line, "Rss").unwrap_or(0);
        }
    }
    sum
}

/// Every map once, however many descriptors there are for it.
fn bpf_maps_bytes(process_id: u32) -> Result<u64> {
    let mut bytes_by_map = HashMap::new();
    for entry in fs::read_dir(format!("/proc/{process_id}/fdinfo"))? {
        // A descriptor that was closed meanwhile holds no map.
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        // Programs have a memlock as well, but no map_id.
        if let (Some(id), Some(bytes)) = (number(&text, "map_id"), number(&text, "memlock")) {
            bytes_by_map.insert(id, bytes);
        }
    }
    Ok(bytes_by_map.values().sum())
}

fn kib(text: &str, name: &str) -> Option<u64> {
    value(text, name)?.strip_suffix(" kB")?.parse().ok()
}

fn number(text: &str, name: &str) -> Option<u64> {
    value(text, name)?.parse().ok()
}

/// From lines of `name: value`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mappings_of_bpf_maps_are_summed() {
        let smaps = "7f00-7f10 rw-s 00000000 00:0f 1063     anon_inode:bpf-map\n\
                     Size:                 64 kB\n\
                     Rss:                  60 kB\n\
                     VmFlags: rd wr sh\n\
                     7f20-7f30 rw-p 00000000 00:00 0\n\
                     Rss:                 100 kB\n";
        assert_eq!(resident_in_mappings_of(smaps, "bpf-map"), 60);
    }

    #[test]
    fn a_name_is_not_found_inside_another() {
        assert_eq!(number("map_id_extra:\t7\nmap_id:\t3\n", "map_id"), Some(3));
    }
}
