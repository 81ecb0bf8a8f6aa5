//! Records and numbers in the BPF object are those of `abi`.

use std::collections::BTreeMap;
use std::mem::offset_of;

use abi::{
    Bucket, DatapathRecord, DropReason, FlowKey, FlowRecord, FlowState, NeighbourState,
    NextHopRecord, PortRecord, PuntReason, SessionRecord, TcpSide, TrafficRecord,
};
use anyhow::{Context as _, Result};
use firewall::ports::{HOST_PORT, OBJECT};
use palisade_tests::fastpath::btf::{Field, Record, Types};

/// A record's name in C and its layout in Rust. The pattern names every field, so that a record with a new one does
/// not compile here without it.
macro_rules! record {
    ($name:literal, $record:ident { $($field:ident),+ $(,)? }) => {{
        let value = $record::default();
        let $record { $($field),+ } = &value;
        let fields = vec![$(Field {
            name: stringify!($field).into(),
            offset: offset_of!($record, $field),
            bytes: size_of_val($field),
        }),+];
        ($name, Record { bytes: size_of::<$record>(), fields })
    }};
}

#[test]
fn records_have_one_layout_on_both_sides() -> Result<()> {
    let types = Types::of(OBJECT)?;
    let records = [
        record!("bucket", Bucket { slots }),
        record!(
            "flow_record",
            FlowRecord {
                key,
                state,
                worker,
                flags,
                interface,
                way,
                generation,
                vlan,
                port,
                icmp_kind,
                rewrite,
                packets,
                bytes,
                last_seen,
            }
        ),
        record!(
            "session_record",
            SessionRecord {
                id,
                created,
                generation,
                policy,
                idle_timeout,
                source_rule,
                destination_rule,
                from_zone,
                to_zone,
                ingress,
                egress,
                application,
                flags,
                icmp_kind,
                owner_index,
                padding,
                tcp_state,
                tcp_padding,
                initiator,
                responder,
                spare,
            }
        ),
        record!(
            "tcp_side",
            TcpSide {
                end,
                max_end,
                max_window,
                scale,
                flags,
                padding
            }
        ),
        record!(
            "next_hop_record",
            NextHopRecord {
                destination,
                source,
                port,
                mtu_bytes,
                interface,
                egress,
            }
        ),
        record!(
            "port_record",
            PortRecord {
                ifindex,
                outer_ifindex,
                flags,
                queues,
                mac,
                across_port,
                across_egress,
                across_mtu_bytes,
                across_interface,
                padding,
            }
        ),
        record!(
            "datapath_record",
            DatapathRecord {
                generation,
                route_generation,
                padding,
                half_open,
                half_open_padding,
            }
        ),
        record!(
            "traffic_record",
            TrafficRecord {
                received_packets,
                received_bytes,
                sent_packets,
                sent_bytes,
            }
        ),
    ];
    for (name, expected) in records {
        let found = types.records.get(name).context(name)?;
        assert_eq!(*found, expected, "{name}");
    }
    Ok(())
}

/// The names of constants with their values.
macro_rules! numbers {
    ($($number:ident),+ $(,)?) => {
        BTreeMap::from([$((stringify!($number).to_owned(), u32::from(abi::$number))),+])
    };
}

#[test]
fn constants_have_one_value_on_both_sides() -> Result<()> {
    let types = Types::of(OBJECT)?;
    let limit = |name: &str, value: usize| (name.to_owned(), value as u32);
    let expected = [
        (
            "limits",
            BTreeMap::from([
                limit("MAX_PORTS", abi::MAX_PORTS),
                limit("MAX_QUEUES", abi::MAX_QUEUES),
                limit("MAX_INTERFACES", abi::MAX_INTERFACES),
                limit("HOST_PORT", usize::from(HOST_PORT.0)),
                limit("SLOTS_PER_BUCKET", abi::SLOTS_PER_BUCKET),
                limit("KEY_WORDS", FlowKey::WORDS),
            ]),
        ),
        ("mark", numbers![MARK_TO_PEER]),
        (
            "port_flag",
            numbers![
                PORT_PEER,
                PORT_WIRE,
                PORT_XDP,
                PORT_XDP_TRANSMIT,
                PORT_UNFILLED
            ],
        ),
        (
            "flow_flag",
            numbers![FLOW_OFFLOADED, FLOW_TRANSLATED, FLOW_REVERSE],
        ),
        ("way_kind", numbers![NO_WAY, WAY_TO_HOST, WAY_TO_WIRE]),
        (
            "flow_state",
            BTreeMap::from([limit("FLOW_LIVE", FlowState::Live as usize)]),
        ),
        (
            "neighbour_state",
            BTreeMap::from([limit(
                "NEIGHBOUR_RESOLVED",
                NeighbourState::Resolved as usize,
            )]),
        ),
    ];
    for (name, expected) in expected {
        assert_eq!(
            *types.enumerations.get(name).context(name)?,
            expected,
            "{name}"
        );
    }
    Ok(())
}

/// A reason as C names it.
fn c_name(prefix: &str, name: &str) -> String {
    format!("{prefix}_{}", name.replace('-', "_").to_uppercase())
}

#[test]
fn reasons_have_one_number_on_both_sides() -> Result<()> {
    let types = Types::of(OBJECT)?;
    let mut punts = types
        .enumerations
        .get("punt_reason")
        .context("punt_reason")?
        .clone();
    assert_eq!(punts.remove("PUNT_NONE"), Some(0));
    assert!(
        punts
            .remove("PUNT_REASONS")
            .is_some_and(|width| width as usize >= PuntReason::COUNT)
    );
    let expected: BTreeMap<_, _> = PuntReason::ALL
        .iter()
        .map(|why| (c_name("PUNT", why.name()), u32::from(why.number())))
        .collect();
    assert_eq!(punts, expected);

    // Most drops are userspace's alone.
    let mut drops = types
        .enumerations
        .get("drop_reason")
        .context("drop_reason")?
        .clone();
    assert!(
        drops
            .remove("DROP_REASONS")
            .is_some_and(|width| width as usize >= DropReason::COUNT)
    );
    let expected: BTreeMap<_, _> = DropReason::ALL
        .iter()
        .map(|why| (c_name("DROP", why.name()), u32::from(why.number())))
        .collect();
    assert!(!drops.is_empty());
    for (name, number) in drops {
        assert_eq!(expected.get(&name), Some(&number), "{name}");
    }
    Ok(())
}
