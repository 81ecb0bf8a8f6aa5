//! The fast path's hashes by themselves.

use std::os::fd::AsFd as _;

use abi::FlowKey;
use anyhow::{Context as _, Result, ensure};
use aya::programs::SchedClassifier;
use aya::{Ebpf, EbpfLoader};

use super::{Run, TC_OK, run};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/hash.o"));

const ETHERNET_BYTES: usize = 14;

/// A program that is nothing but `firewall/bpf/flow.h`.
#[derive(Debug)]
pub struct Hashes(Ebpf);

impl Hashes {
    pub fn load(seed: u64, multiplier: u64) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .override_global("HASH_SEED", &seed, true)
            .override_global("HASH_MULTIPLIER", &multiplier, true)
            .load(OBJECT)?;
        let program: &mut SchedClassifier = ebpf
            .program_mut("hash")
            .context("no such program")?
            .try_into()?;
        program.load()?;
        Ok(Self(ebpf))
    }

    /// A key's hash and spread.
    pub fn of(&self, key: &FlowKey) -> Result<(u64, u64)> {
        let program = self.0.program("hash").context("no such program")?;
        let mut frame = vec![0; ETHERNET_BYTES];
        frame.extend(key.words().iter().flat_map(|word| word.to_ne_bytes()));
        let ran = run::classifier(program.fd()?.as_fd(), &frame, &Run::default())?;
        ensure!(ran.action == TC_OK, "the program returned {}", ran.action);
        let word = |at| -> Result<u64> {
            let at = ETHERNET_BYTES + at;
            let bytes = ran.frame.get(at..at + 8).context("cut short")?;
            Ok(u64::from_ne_bytes(bytes.try_into()?))
        };
        Ok((word(0)?, word(8)?))
    }
}
