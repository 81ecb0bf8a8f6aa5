//! What the environment says of the appliance, as container platforms give settings.
//!
//! Each variable is spelled `PALISADE_…`; those that users of Juniper cSRX know are also taken as `CSRX_…`, with cSRX's
//! values. [`Environment::read`] finds everything that is wrong at once. Nothing is guessed: a name that begins like
//! ours and is unknown, a value that is not possible, or two spellings that contradict each other, are mistakes. What
//! is known and changes nothing is a warning that says why. An empty value is none.
//!
//! What the settings do is elsewhere: `start` makes a document of some, `processors` and `run` do the rest.

mod names;
#[cfg(test)]
mod tests;
mod value;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use firewall::config::{Mode, PacketDriver};
use rustix::thread::CpuSet;
use web_ui::FirstPassword;

use crate::logging::Format;
use names::{Given, Variable};

pub(crate) use names::is_ours;

/// Checked, as far as that can be done without looking at anything else.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) mode: Option<Mode>,
    pub(crate) driver: Option<PacketDriver>,
    pub(crate) size: Option<Size>,
    /// Devices, management included, and the variable that says so.
    pub(crate) ports: Option<(u8, String)>,
    /// The last device is management's, and the variable that says so.
    pub(crate) management_last: Option<String>,
    pub(crate) control_processors: Option<CpuSet>,
    pub(crate) data_processors: Option<CpuSet>,
    pub(crate) arp_timeout: Option<Duration>,
    pub(crate) ndp_timeout: Option<Duration>,
    pub(crate) password: Option<FirstPassword>,
    pub(crate) log: Option<Format>,
    pub(crate) log_level: Option<String>,
    /// What is known and ignored, and why.
    pub(crate) warnings: Vec<String>,
}

/// How much the appliance is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Small,
    Middle,
    Large,
}

impl Size {
    /// A session takes about half a KiB.
    pub(crate) fn sessions(self) -> u32 {
        match self {
            Self::Small => 16_384,
            Self::Middle => 65_536,
            Self::Large => 524_288,
        }
    }
}

/// The environment can't be used. A line for each mistake.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistakes(pub(crate) Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [one] => write!(f, "the environment: {one}"),
            several => write!(f, "the environment has {} mistakes", several.len()),
        }
    }
}

impl std::error::Error for Mistakes {}

impl Mistakes {
    /// More lines than the one that it displays as.
    pub(crate) fn details(&self) -> Vec<String> {
        match &self.0[..] {
            [_] => Vec::new(),
            several => several.to_vec(),
        }
    }
}

impl Environment {
    pub(crate) fn read(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Mistakes> {
        let mut reading = Reading::default();
        let given = names::given(variables, &mut reading.mistakes);
        for given in given {
            reading.take(given);
        }
        reading.finish()
    }
}

#[derive(Default)]
struct Reading {
    environment: Environment,
    mistakes: Vec<String>,
    /// Which of the two gave the password.
    password: Option<String>,
}

impl Reading {
    fn take(&mut self, given: Given) {
        let Given {
            variable,
            name,
            value,
        } = given;
        let environment = &mut self.environment;
        let outcome = match variable {
            Variable::ForwardMode => value::mode(&value).map(|it| environment.mode = Some(it)),
            Variable::PacketDriver => value::driver(&value).map(|it| environment.driver = Some(it)),
            Variable::Size => value::size(&value).map(|it| environment.size = Some(it)),
            Variable::PortNum => {
                value::ports(&value).map(|it| environment.ports = Some((it, name.clone())))
            }
            Variable::CtrlCpu => {
                value::processors(&value).map(|it| environment.control_processors = Some(it))
            }
            Variable::DataCpu => {
                value::processors(&value).map(|it| environment.data_processors = Some(it))
            }
            Variable::ArpTimeout => {
                value::milliseconds(&value).map(|it| environment.arp_timeout = Some(it))
            }
            Variable::NdpTimeout => {
                value::milliseconds(&value).map(|it| environment.ndp_timeout = Some(it))
            }
            Variable::AutoAssignIp => value::yes_or_no(&value).map(|yes| {
                if !yes {
                    environment.warnings.push(format!(
                        "{name}={value} is ignored: an interface keeps the addresses that its device has, besides those of the configuration"
                    ));
                }
            }),
            Variable::MgmtPortReorder => value::yes_or_no(&value)
                .map(|yes| environment.management_last = yes.then(|| name.clone())),
            Variable::TcpCksumCalc => value::yes_or_no(&value).map(|_| {
                environment.warnings.push(format!(
                    "{name}={value} is ignored: checksums are always complete when a packet leaves"
                ));
            }),
            Variable::JunosConfig => Err(
                "Junos configurations can't be read: mount a palisade.yaml instead".to_owned(),
            ),
            Variable::RootPassword => self.password(&name, Ok(value.clone())),
            Variable::RootPasswordFile => {
                let path = PathBuf::from(&value);
                self.password(&name, value::first_line(&path))
            }
            Variable::Log => value::format(&value).map(|it| environment.log = Some(it)),
            Variable::LogLevel => {
                value::filter(&value).map(|()| environment.log_level = Some(value.clone()))
            }
        };
        if let Err(problem) = outcome {
            let shown = if variable.is_secret() {
                String::new()
            } else {
                format!("={value}")
            };
            self.mistakes.push(format!("{name}{shown}: {problem}"));
        }
    }

    fn password(&mut self, name: &str, text: Result<String, String>) -> Result<(), String> {
        if let Some(other) = self.password.replace(name.to_owned()) {
            return Err(format!("there is {other} already: one of them is enough"));
        }
        let password = FirstPassword::new(text?).map_err(|error| error.to_string())?;
        self.environment.password = Some(password);
        Ok(())
    }

    fn finish(mut self) -> Result<Environment, Mistakes> {
        let environment = &self.environment;
        if environment.mode == Some(Mode::Wire)
            && let Some((count, name)) = &environment.ports
            && *count != 3
        {
            self.mistakes.push(format!(
                "{name}={count}: a wire has two ends, which with management makes 3 ports"
            ));
        }
        if self.mistakes.is_empty() {
            Ok(self.environment)
        } else {
            Err(Mistakes(self.mistakes))
        }
    }
}

/// The variables whose values are secrets.
pub(crate) fn secrets() -> impl Iterator<Item = String> {
    names::spellings(Variable::RootPassword)
}

/// The variable that names the file with the same secret.
pub(crate) const PASSWORD_FILE: &str = "PALISADE_ROOT_PASSWORD_FILE";
