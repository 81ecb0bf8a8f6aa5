//! The name of a session: the first application that it is, found as the first policy is.

use std::sync::Arc;

use super::table::{Key, Row, Table};
use super::{BUDGET, service};
use crate::{Application, IcmpType, Tuple};

#[derive(Clone, Debug)]
pub(crate) struct Naming {
    /// In the order in which they name a session.
    applications: Box<[Arc<Application>]>,
    tables: Vec<Table<u32>>,
}

impl Naming {
    pub(crate) fn compile(applications: &[Arc<Application>]) -> Self {
        let mut rows = Vec::new();
        for (number, application) in (0..).zip(applications) {
            let services = service::services(application.terms.iter()).into_iter();
            rows.extend(services.map(|service| Row {
                policy: number,
                from: None,
                to: None,
                source: None,
                destination: None,
                service: Some(service.keys),
                source_port: service.source_ports,
            }));
        }
        Self {
            applications: applications.into(),
            tables: Table::compile(&rows, BUDGET),
        }
    }

    pub(crate) fn name_of(&self, tuple: &Tuple, icmp: Option<IcmpType>) -> Option<&Application> {
        let key = Key {
            from: 0,
            to: 0,
            source: 0,
            destination: 0,
            service: service::key(tuple, icmp),
            source_port: tuple.source_port.into(),
        };
        let is = |number: u32| {
            let application = &*self.applications[number as usize];
            application.matching(tuple, icmp).map(|_| application)
        };
        super::first(&self.tables, &key, u32::MAX, is).map(|(_, application)| application)
    }
}
