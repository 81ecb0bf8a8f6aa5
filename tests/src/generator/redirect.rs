//! The ceiling: what crosses a host whose ports do nothing but hand every frame to each other.

use anyhow::{Context, Result};
use aya::programs::{SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader};

use crate::lab::Host;

/// Frames that come in at one device go to the peer of another, unread, and never reach the host's stack; detached on
/// drop.
///
/// # Limits
/// The other device is a veth whose peer is in another namespace. MACs stay as they are: who sends has to know the
/// receiver's.
#[derive(Debug)]
pub struct Redirect {
    _program: Ebpf,
}

impl Redirect {
    pub fn attach(host: &Host, from_device: &str, to_device: &str) -> Result<Self> {
        let mut program = EbpfLoader::new()
            .override_global("out_ifindex", &host.device_index(to_device)?, true)
            .load(aya::include_bytes_aligned!(concat!(
                env!("OUT_DIR"),
                "/redirect.o"
            )))?;
        let classifier: &mut SchedClassifier = program
            .program_mut("redirect")
            .context("the object has no such program")?
            .try_into()?;
        classifier.load()?;
        host.enter(|| classifier.attach(from_device, TcAttachType::Ingress))
            .with_context(|| format!("cannot redirect from {from_device} of {}", host.name()))?;
        Ok(Self { _program: program })
    }
}
