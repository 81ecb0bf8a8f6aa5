//! Which variables there are, and what becomes of names that look like one.

use std::collections::BTreeMap;
use std::ffi::OsString;

use rules::suggest;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Variable {
    ForwardMode,
    PacketDriver,
    Size,
    PortNum,
    CtrlCpu,
    DataCpu,
    ArpTimeout,
    NdpTimeout,
    AutoAssignIp,
    MgmtPortReorder,
    TcpCksumCalc,
    JunosConfig,
    RootPassword,
    RootPasswordFile,
    Log,
    LogLevel,
}

/// What a variable is called behind the prefix, and its other spelling where it has one.
const VARIABLES: [(Variable, &str, Option<&str>); 16] = [
    (
        Variable::ForwardMode,
        "FORWARD_MODE",
        Some("CSRX_FORWARD_MODE"),
    ),
    (
        Variable::PacketDriver,
        "PACKET_DRIVER",
        Some("CSRX_PACKET_DRIVER"),
    ),
    (Variable::Size, "SIZE", Some("CSRX_SIZE")),
    (Variable::PortNum, "PORT_NUM", Some("CSRX_PORT_NUM")),
    (Variable::CtrlCpu, "CTRL_CPU", Some("CSRX_CTRL_CPU")),
    (Variable::DataCpu, "DATA_CPU", Some("CSRX_DATA_CPU")),
    (
        Variable::ArpTimeout,
        "ARP_TIMEOUT",
        Some("CSRX_ARP_TIMEOUT"),
    ),
    (
        Variable::NdpTimeout,
        "NDP_TIMEOUT",
        Some("CSRX_NDP_TIMEOUT"),
    ),
    (
        Variable::AutoAssignIp,
        "AUTO_ASSIGN_IP",
        Some("CSRX_AUTO_ASSIGN_IP"),
    ),
    (
        Variable::MgmtPortReorder,
        "MGMT_PORT_REORDER",
        Some("CSRX_MGMT_PORT_REORDER"),
    ),
    (
        Variable::TcpCksumCalc,
        "TCP_CKSUM_CALC",
        Some("CSRX_TCP_CKSUM_CALC"),
    ),
    (
        Variable::JunosConfig,
        "JUNOS_CONFIG",
        Some("CSRX_JUNOS_CONFIG"),
    ),
    (
        Variable::RootPassword,
        "ROOT_PASSWORD",
        Some("CSRX_ROOT_PASSWORD"),
    ),
    (Variable::RootPasswordFile, "ROOT_PASSWORD_FILE", None),
    (Variable::Log, "LOG", None),
    (Variable::LogLevel, "LOG_LEVEL", Some("RUST_LOG")),
];

/// Of the other commands (`connection`); they may stand in the environment of a container as well.
const OF_COMMANDS: [&str; 4] = [
    "PALISADE_HOST",
    "PALISADE_TOKEN",
    "PALISADE_CA",
    "PALISADE_FINGERPRINT",
];

const NATIVE: &str = "PALISADE_";
const FOREIGN: &str = "CSRX_";

/// A variable as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) variable: Variable,
    /// As it was spelled.
    pub(super) name: String,
    pub(super) value: String,
}

impl Variable {
    /// Its value is never shown.
    pub(super) fn is_secret(self) -> bool {
        self == Self::RootPassword
    }
}

/// All names of a variable.
pub(super) fn spellings(variable: Variable) -> impl Iterator<Item = String> {
    VARIABLES
        .iter()
        .filter(move |(known, ..)| *known == variable)
        .flat_map(|(_, suffix, other)| {
            [Some(format!("{NATIVE}{suffix}")), other.map(str::to_owned)]
        })
        .flatten()
}

/// Whether a name is for us to understand.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with(NATIVE) || name.starts_with(FOREIGN)
}

/// What there is, each variable once, in the order of [`VARIABLES`].
pub(super) fn given(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    mistakes: &mut Vec<String>,
) -> Vec<Given> {
    let mut found: BTreeMap<Variable, Given> = BTreeMap::new();
    let mut variables: Vec<_> = variables.into_iter().collect();
    // So that what is said does not depend on the order of the environment.
    variables.sort();
    for (name, value) in variables {
        let Some(name) = name.to_str() else {
            continue;
        };
        let Some(variable) = known(name) else {
            if is_ours(name) && !is_let_through(name, &value.to_string_lossy()) {
                mistakes.push(unknown(name));
            }
            continue;
        };
        let Some(value) = value.to_str() else {
            mistakes.push(format!("{name} is no text"));
            continue;
        };
        if value.is_empty() {
            continue;
        }
        let given = Given {
            variable,
            name: name.to_owned(),
            value: value.to_owned(),
        };
        match found.get(&variable) {
            Some(other) if other.value != given.value => {
                mistakes.push(contradiction(other, &given));
            }
            _ => {
                found.insert(variable, given);
            }
        }
    }
    found.into_values().collect()
}

fn known(name: &str) -> Option<Variable> {
    VARIABLES
        .iter()
        .find(|(_, suffix, other)| {
            name.strip_prefix(NATIVE) == Some(suffix) || *other == Some(name)
        })
        .map(|(variable, ..)| *variable)
}

fn contradiction(one: &Given, other: &Given) -> String {
    if one.variable.is_secret() {
        format!("{} and {} differ: they mean the same", one.name, other.name)
    } else {
        format!(
            "{}={} and {}={} mean the same and differ",
            one.name, one.value, other.name, other.value
        )
    }
}

fn unknown(name: &str) -> String {
    let names = VARIABLES
        .iter()
        .flat_map(|(variable, ..)| spellings(*variable))
        .chain(OF_COMMANDS.map(str::to_owned));
    match suggest(name, names) {
        Some(meant) => format!("there is no {name}; did you mean {meant}?"),
        None => format!("there is no {name}"),
    }
}

/// Kubernetes tells containers of every service in their namespace, by the variables of Docker's container links: a
/// service that is called `palisade` makes `PALISADE_SERVICE_HOST`, `PALISADE_PORT=tcp://…` and others.
fn is_let_through(name: &str, value: &str) -> bool {
    if OF_COMMANDS.contains(&name) {
        return true;
    }
    let parts: Vec<_> = name.split('_').collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let of_port = parts.windows(3).any(
        |window| matches!(window, ["PORT", number, "TCP" | "UDP" | "SCTP"] if is_number(number)),
    );
    let of_service = parts
        .windows(2)
        .any(|window| matches!(window, ["SERVICE", "HOST" | "PORT"]));
    let is_url = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    of_port || of_service || (parts.last() == Some(&"PORT") && is_url)
}
