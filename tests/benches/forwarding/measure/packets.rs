//! Packet rates.

use anyhow::Result;
use palisade_tests::lab::Chain;

use super::Round;
use super::load::{FLOWS, Load};
use crate::contender::{Contender, REFERENCE, Shape};
use crate::results::Unit;

/// The row that the goals refer to.
pub(crate) fn rate_at_16384_flows() -> String {
    format!("{}: rate", label(60, FLOWS))
}

/// The best received rate, and the loss at half of it, for small and large packets in one and in many flows.
pub(super) fn packets(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    contender.set_up(chain, &Shape::default())?;
    let load = Load::new(chain, contender)?;
    load.establish(FLOWS)?;
    let (name, duration) = (contender.name(), round.plan.per_rate);
    for (frame_bytes, flows) in [(60, FLOWS), (60, 1), (1514, FLOWS), (1514, 1)] {
        let mut generator = load.generator(flows, frame_bytes)?;
        let rates = load.best_rate(&mut generator, duration)?;
        let half = load.observe(|| generator.paced(rates.best / 2.0, duration))?;
        if name == REFERENCE && (frame_bytes, flows) == (60, FLOWS) {
            round.reference_pps = Some(rates.best);
        }
        let label = label(frame_bytes, flows);
        let results = &mut *round.results;
        results.add(
            &format!("{label}: rate"),
            Unit::Mpps,
            name,
            rates.best / 1e6,
        );
        results.add(
            &format!("{label}: rate per sender's CPU second"),
            Unit::Mpps,
            name,
            rates.per_cpu_second / 1e6,
        );
        results.add(
            &format!("{label}: lost at half"),
            Unit::Percent,
            name,
            half.lost() * 100.0,
        );
    }
    Ok(())
}

fn label(frame_bytes: usize, flows: u32) -> String {
    // As people name packets: 60 is the smallest frame, 1,500 what fits into an Ethernet frame.
    let bytes = if frame_bytes > 1500 {
        frame_bytes - 14
    } else {
        frame_bytes
    };
    let plural = if flows == 1 { "" } else { "s" };
    format!("{bytes} B, {flows} flow{plural}")
}
