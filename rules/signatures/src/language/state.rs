//! Keywords about the session and what rules keep: `flow`, `flowbits`, `xbits`, `threshold`, `detection_filter`.

use super::{Draft, Reader, bad, required, syntax::RawOption};
use crate::bounds::number;
use crate::buffer::Direction;
use crate::error::RuleError;
use crate::rule::{BitChange, BitOp, BitOwner, PayloadKind, Rate, RateKind, Track};

/// How long an `xbits` lasts that doesn't say so, as Suricata has it.
const EXPIRE_SECONDS: u32 = 30;
/// A day. Longer ones would fill the tables with what nobody waits for.
const LONGEST_SECONDS: u32 = 24 * 60 * 60;

impl Draft {
    /// Whether the option was one of these.
    pub(super) fn keep_state(
        &mut self,
        option: &RawOption<'_>,
        reader: &mut Reader<'_>,
    ) -> Result<bool, RuleError> {
        match option.name {
            "flow" => self.flow(option)?,
            "flowbits" => {
                let value = required(option)?;
                if value == "noalert" {
                    self.is_silent = true;
                    return Ok(true);
                }
                let (change, names) = change(option, value)?;
                self.bits.push(BitOp {
                    change,
                    names: names
                        .split('|')
                        .map(|name| reader.name(name.trim()))
                        .collect(),
                    owner: BitOwner::Session,
                });
            }
            "xbits" => self.xbits(option, reader)?,
            "threshold" | "detection_filter" => self.rates.push(rate(option)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn flow(&mut self, option: &RawOption<'_>) -> Result<(), RuleError> {
        for word in required(option)?.split(',') {
            match word.trim() {
                "to_server" | "from_client" => self.heads(Direction::ToResponder, option)?,
                "to_client" | "from_server" => self.heads(Direction::ToInitiator, option)?,
                "established" => self.flow.established = Some(true),
                "not_established" => self.flow.established = Some(false),
                "stateless" => {}
                "only_stream" => self.wants(PayloadKind::Stream, option)?,
                "no_stream" => self.wants(PayloadKind::Packet, option)?,
                "only_frag" => self.flow.reassembled_from_fragments = Some(true),
                "no_frag" => self.flow.reassembled_from_fragments = Some(false),
                _ => return Err(bad(option, "unknown word")),
            }
        }
        Ok(())
    }

    fn heads(&mut self, direction: Direction, option: &RawOption<'_>) -> Result<(), RuleError> {
        if self.flow.direction.is_some_and(|other| other != direction) {
            return Err(bad(option, "goes one way or the other"));
        }
        self.flow.direction = Some(direction);
        Ok(())
    }

    /// `CHANGE,NAME,track ip_src|ip_dst|ip_pair[,expire SECONDS]`
    fn xbits(&mut self, option: &RawOption<'_>, reader: &mut Reader<'_>) -> Result<(), RuleError> {
        let value = required(option)?;
        if value == "noalert" {
            self.is_silent = true;
            return Ok(());
        }
        let (change, rest) = change(option, value)?;
        let mut words = rest.split(',').map(str::trim);
        let name = words.next().unwrap_or_default();
        let (mut track, mut seconds) = (None, EXPIRE_SECONDS);
        for word in words {
            match word.split_once(char::is_whitespace) {
                Some(("track", by)) => track = Some(by.trim()),
                Some(("expire", value)) => {
                    seconds = number(value)
                        .and_then(|value| u32::try_from(value).ok())
                        .filter(|value| (1..=LONGEST_SECONDS).contains(value))
                        .ok_or_else(|| bad(option, "expires within a day"))?;
                }
                None | Some(_) => return Err(bad(option, "unknown word")),
            }
        }
        let owner = match track {
            Some("ip_src") => BitOwner::Source { seconds },
            Some("ip_dst") => BitOwner::Destination { seconds },
            Some("ip_pair") => BitOwner::Pair { seconds },
            Some(_) | None => return Err(bad(option, "track ip_src, ip_dst or ip_pair")),
        };
        self.bits.push(BitOp {
            change,
            names: Box::new([reader.name(name)]),
            owner,
        });
        Ok(())
    }
}

fn change<'a>(option: &RawOption<'a>, value: &'a str) -> Result<(BitChange, &'a str), RuleError> {
    let (word, names) = value
        .split_once(',')
        .ok_or_else(|| bad(option, "a name is missing"))?;
    let names = names.trim();
    if names.is_empty() {
        return Err(bad(option, "a name is missing"));
    }
    let change = match word.trim() {
        "set" => BitChange::Set,
        "unset" => BitChange::Unset,
        "toggle" => BitChange::Toggle,
        "isset" => BitChange::IsSet,
        "isnotset" => BitChange::IsNotSet,
        _ => return Err(bad(option, "set, unset, toggle, isset or isnotset")),
    };
    Ok((change, names))
}

/// `type KIND, track WHAT, count N, seconds N`, in any order.
fn rate(option: &RawOption<'_>) -> Result<Rate, RuleError> {
    let is_filter = option.name == "detection_filter";
    let mut kind = is_filter.then_some(RateKind::Filter);
    let (mut track, mut count, mut seconds) = (None, None, None);
    for word in required(option)?.split(',').map(str::trim) {
        let Some((word, value)) = word.split_once(char::is_whitespace) else {
            return Err(bad(option, "a value is missing"));
        };
        let value = value.trim();
        let whole = || {
            number(value)
                .and_then(|value| u32::try_from(value).ok())
                .filter(|&value| value > 0)
                .ok_or_else(|| bad(option, "is no number in range"))
        };
        match word {
            "type" if !is_filter => {
                kind = Some(match value {
                    "threshold" => RateKind::Threshold,
                    "limit" => RateKind::Limit,
                    "both" => RateKind::Both,
                    _ => return Err(bad(option, "the type is threshold, limit or both")),
                });
            }
            "track" => {
                track = Some(match value {
                    "by_src" => Track::BySource,
                    "by_dst" => Track::ByDestination,
                    "by_both" => Track::ByBoth,
                    "by_rule" => Track::ByRule,
                    "by_flow" => Track::BySession,
                    _ => return Err(bad(option, "unknown track")),
                });
            }
            "count" => count = Some(whole()?),
            "seconds" => seconds = Some(whole()?.min(LONGEST_SECONDS)),
            _ => return Err(bad(option, "unknown word")),
        }
    }
    let (Some(kind), Some(track), Some(count), Some(seconds)) = (kind, track, count, seconds)
    else {
        return Err(bad(option, "type, track, count and seconds are needed"));
    };
    Ok(Rate {
        kind,
        track,
        count,
        seconds,
    })
}
