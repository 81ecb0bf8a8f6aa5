//! Counting what arrives, at the first place after the driver where a veth allows it cheaply.

use anyhow::{Context, Result};
use aya::maps::PerCpuArray;
use aya::programs::{SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader};

use crate::lab::Host;

/// What happens to a packet once it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkMode {
    Drop,
    /// Sent back where it came from, which makes its session an established one.
    Answer,
}

/// What a sink has seen since it was attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
}

/// A counter of the UDP packets that a device receives to or from one port; detached on drop.
#[derive(Debug)]
pub struct Sink {
    program: Ebpf,
}

impl Sink {
    pub fn attach(host: &Host, device: &str, udp_port: u16, mode: SinkMode) -> Result<Self> {
        let mut program = EbpfLoader::new()
            .override_global("udp_port", &udp_port, true)
            .load(aya::include_bytes_aligned!(concat!(
                env!("OUT_DIR"),
                "/sink.o"
            )))?;
        let name = match mode {
            SinkMode::Drop => "count_and_drop",
            SinkMode::Answer => "count_and_answer",
        };
        let classifier: &mut SchedClassifier = program
            .program_mut(name)
            .context("the object has no such program")?
            .try_into()?;
        classifier.load()?;
        host.enter(|| classifier.attach(device, TcAttachType::Ingress))
            .with_context(|| format!("cannot attach a sink to {device} of {}", host.name()))?;
        Ok(Self { program })
    }

    pub fn count(&self) -> Result<Count> {
        let counts: PerCpuArray<_, [u64; 2]> = PerCpuArray::try_from(
            self.program
                .map("counts")
                .context("the object has no such map")?,
        )?;
        let per_cpu = counts.get(&0, 0)?;
        Ok(per_cpu
            .iter()
            .fold(Count::default(), |sum, [packets, bytes]| Count {
                packets: sum.packets + packets,
                bytes: sum.bytes + bytes,
            }))
    }
}
