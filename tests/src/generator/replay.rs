//! Frames that were made before, one after the other and over again.

use anyhow::{Context, Result, ensure};
use aya::maps::Array;
use aya::{Ebpf, EbpfLoader};

/// What every frame is padded to: Ethernet, IPv6 and TCP without options, in whole words.
pub(super) const FRAME_BYTES: usize = 80;

const _: () = assert!(FRAME_BYTES.is_multiple_of(8) && FRAME_BYTES >= 14 + 40 + 20);

pub(super) fn load(frames: &[Vec<u8>]) -> Result<Ebpf> {
    let count = u32::try_from(frames.len())?;
    ensure!(count > 0, "at least one frame is needed");
    let mut program = EbpfLoader::new()
        .map_max_entries("frames", count)
        .override_global("count", &count, true)
        .load(aya::include_bytes_aligned!(concat!(
            env!("OUT_DIR"),
            "/replay.o"
        )))?;
    let table = program
        .map_mut("frames")
        .context("the object has no frames")?;
    let mut table: Array<_, [u8; FRAME_BYTES]> = table.try_into()?;
    for (number, frame) in (0..).zip(frames) {
        table.set(number, padded(frame)?, 0)?;
    }
    Ok(program)
}

pub(super) fn padded(frame: &[u8]) -> Result<[u8; FRAME_BYTES]> {
    let mut whole = [0; FRAME_BYTES];
    whole
        .get_mut(..frame.len())
        .with_context(|| format!("{} bytes are more than a frame has", frame.len()))?
        .copy_from_slice(frame);
    Ok(whole)
}
