//! Palisade itself, at either kind of port.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::Result;
use palisade_tests::lab::{Chain, Palisade};

use super::{Contender, Shape};

pub(super) struct Appliance {
    name: &'static str,
    attach: &'static str,
    translates: bool,
    running: Option<Palisade>,
}

impl Appliance {
    pub(super) fn new(name: &'static str, attach: &'static str, translates: bool) -> Self {
        Self {
            name,
            attach,
            translates,
            running: None,
        }
    }

    fn document(&self, shape: &Shape) -> String {
        let attach = self.attach;
        let sessions = shape.sessions;
        let workers = shape
            .workers
            .map_or_else(|| "auto".to_owned(), |workers| workers.to_string());
        let nat = match (self.translates, shape.pool) {
            (false, _) => "",
            (true, false) => NAT_TO_INTERFACE,
            (true, true) => NAT_TO_POOL,
        };
        let Others {
            applications,
            policies,
        } = Others::new(shape.other_policies);
        format!(
            r#"
version: 1
system: {{ host-name: bench, mode: routing, sessions: {sessions}, workers: {workers} }}
interfaces:
  left:  {{ device: eth1, attach: {attach}, addresses: [192.0.2.1/24, "2001:db8:1::1/64"] }}
  right: {{ device: eth2, attach: {attach}, addresses: [198.51.100.1/24, "2001:db8:2::1/64"] }}
zones:
  trust:   {{ interfaces: [left], host-inbound: [ping] }}
  untrust: {{ interfaces: [right], host-inbound: [ping] }}
addresses:
  lan: [192.0.2.0/24]
{applications}
policies:
{policies}
  - name: out
    from: trust
    to: untrust
    source: [lan]
    destination: [any]
    application: [any]
    action: permit
{nat}
"#
        )
    }
}

const NAT_TO_INTERFACE: &str = "
nat:
  source: [{ name: internet, from: trust, to: untrust, source: [lan], translate: interface }]";

/// 32 addresses with 64,512 ports each: enough for a million sessions to one server.
const NAT_TO_POOL: &str = "
nat:
  pools: { public: { addresses: [198.51.100.32/27], ports: 1024-65535 } }
  source: [{ name: internet, from: trust, to: untrust, source: [lan], translate: { pool: public } }]";

/// Sections of a configuration, with policies that have nothing to do with the traffic: one has another source, the
/// next another destination, the third another port.
#[derive(Default)]
struct Others {
    applications: String,
    policies: String,
}

impl Others {
    fn new(count: u32) -> Self {
        let mut others = Self::default();
        for number in 0..count {
            let (high, low) = (number / 256, number % 256);
            let (source, destination, application) = match number % 3 {
                0 => (
                    format!("10.1.{high}.{low}"),
                    "any".to_owned(),
                    "any".to_owned(),
                ),
                1 => (
                    "lan".to_owned(),
                    format!("10.2.{high}.{low}"),
                    "any".to_owned(),
                ),
                _ => {
                    let port = 20_000 + number;
                    // Writing to a string cannot fail.
                    let _ = writeln!(
                        others.applications,
                        "  port-{port}: [{{ protocol: udp, destination-port: {port} }}]"
                    );
                    ("lan".to_owned(), "any".to_owned(), format!("port-{port}"))
                }
            };
            let _ = writeln!(
                others.policies,
                "  - {{ name: other-{number}, from: trust, to: untrust, source: [{source}], \
                 destination: [{destination}], application: [{application}], action: deny }}"
            );
        }
        if !others.applications.is_empty() {
            others.applications.insert_str(0, "applications:\n");
        }
        others
    }
}

impl Contender for Appliance {
    fn name(&self) -> &'static str {
        self.name
    }

    fn translates(&self) -> bool {
        self.translates
    }

    fn set_up(&mut self, chain: &Chain, shape: &Shape) -> Result<Instant> {
        let running = Palisade::start(&chain.fw, &self.document(shape))?;
        let began_at = running.started_at();
        self.running = Some(running);
        Ok(began_at)
    }

    fn tear_down(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            running.stop()?;
        }
        Ok(())
    }

    fn is_appliance(&self) -> bool {
        true
    }

    fn configuration(&self, shape: &Shape) -> Option<String> {
        Some(self.document(shape))
    }

    fn appliance(&self) -> Option<&Palisade> {
        self.running.as_ref()
    }
}
