//! What the appliance takes of memory, as most people will run it.

use anyhow::{Context, Result};
use palisade_tests::lab::Chain;

use super::Round;
use super::load::{FIRST_PER_SECOND, Load};
use crate::contender::{Contender, Shape};
use crate::results::Unit;

/// The default capacity.
const SESSIONS: u32 = 65_536;

/// Memory idle, and with as many sessions as one external address allows.
pub(super) fn memory(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    // The flows need more ports than one address has.
    chain
        .client
        .ip_batch("address add 192.0.2.11/24 dev eth0\n")?;
    contender.set_up(chain, &Shape::default())?;
    let load = Load::new(chain, contender)?;
    let appliance = contender.appliance().context("no appliance")?;
    let idle = appliance.memory()?;
    let answered = load.offer(SESSIONS, FIRST_PER_SECOND)?;
    let busy = appliance.memory()?;
    let (name, results) = (contender.name(), &mut *round.results);
    for (state, memory) in [("idle", idle), ("65,536 sessions", busy)] {
        for (part, kib) in [
            ("resident", memory.resident_kib),
            ("anonymous", memory.anonymous_kib),
            ("files", memory.file_kib),
            ("shared", memory.shared_kib),
            ("BPF maps", memory.bpf_maps_bytes / 1024),
        ] {
            let label = format!("memory, {state}: {part}");
            results.add(&label, Unit::Mebibytes, name, kib as f64 / 1024.0);
        }
    }
    results.add(
        "65,536 sessions: answered",
        Unit::Percent,
        name,
        answered * 100.0,
    );
    Ok(())
}
