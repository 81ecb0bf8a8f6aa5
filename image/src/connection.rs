//! Which appliance a command is for, and as whom: the arguments that all of them take.
//!
//! A token is a secret that other users of the machine could read off the command line, so it comes
//! from the environment or a file, unless somebody insists.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hyper::header::HeaderValue;
use rustls::pki_types::ServerName;

use crate::client::tls::{Fingerprint, Trust};
use crate::exit::Exit;

/// As `management.listen` has it where nobody chose another.
const PORT: u16 = 8443;
/// No token is longer.
const TOKEN_BYTES_MAX: u64 = 4096;

/// Which appliance, and as whom: the one on this machine unless told.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Which appliance")]
pub(crate) struct Connection {
    /// Where the appliance on this machine serves its API [default: /run/palisade/api.sock].
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "host")]
    pub(crate) socket: Option<PathBuf>,
    /// Another appliance, over HTTPS; port 8443 unless told. PALISADE_HOST names one, too.
    #[arg(long, global = true, value_name = "HOST[:PORT]")]
    host: Option<Host>,
    /// A file that holds the token; else PALISADE_TOKEN is the token.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The token itself, which everybody on this machine can read while the command runs.
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        conflicts_with = "token_file"
    )]
    token: Option<String>,
    /// Trust what these certificates (PEM) have signed instead of the public authorities;
    /// or PALISADE_CA.
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust the certificate with this fingerprint and no other: the appliance's log has it at
    /// each start; or PALISADE_FINGERPRINT.
    #[arg(long, global = true, value_name = "SHA256", conflicts_with = "ca")]
    fingerprint: Option<Fingerprint>,
}

/// Where to connect, with everything that is needed for it.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Socket(PathBuf),
    Network(Remote),
}

#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) host: Host,
    /// `Bearer …`; never printed.
    pub(crate) authorization: HeaderValue,
    pub(crate) trust: Trust,
}

impl Connection {
    /// On this machine, at `socket`.
    pub(crate) fn local(socket: &Path) -> Self {
        Self {
            socket: Some(socket.to_owned()),
            ..Self::default()
        }
    }

    /// What is not on the command line may be in the environment, as `variable` tells it.
    pub(crate) fn target(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Target, ConnectionError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(socket) = &self.socket {
            self.nothing_remote()?;
            return Ok(Target::Socket(socket.clone()));
        }
        let host = match (&self.host, variable("PALISADE_HOST")) {
            (Some(host), _) => host.clone(),
            (None, Some(text)) => text.parse().map_err(ConnectionError::HostVariable)?,
            (None, None) => {
                self.nothing_remote()?;
                return Ok(Target::Socket(crate::SOCKET.into()));
            }
        };
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(file)) => read_token(file)?,
            (None, None) => variable("PALISADE_TOKEN").ok_or(ConnectionError::NoToken)?,
        };
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| ConnectionError::Token)?;
        authorization.set_sensitive(true);
        Ok(Target::Network(Remote {
            host,
            authorization,
            trust: self.trust(variable)?,
        }))
    }

    fn trust(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Trust, ConnectionError> {
        if let Some(fingerprint) = self.fingerprint {
            return Ok(Trust::Fingerprint(fingerprint));
        }
        if let Some(file) = &self.ca {
            return Ok(Trust::Authorities(file.clone()));
        }
        if let Some(text) = variable("PALISADE_FINGERPRINT") {
            let fingerprint = text.parse().map_err(ConnectionError::FingerprintVariable)?;
            return Ok(Trust::Fingerprint(fingerprint));
        }
        Ok(match variable("PALISADE_CA") {
            Some(file) => Trust::Authorities(file.into()),
            None => Trust::Public,
        })
    }

    /// Somebody who gives these means another appliance than the one here.
    fn nothing_remote(&self) -> Result<(), ConnectionError> {
        let given = [
            ("--token", self.token.is_some()),
            ("--token-file", self.token_file.is_some()),
            ("--ca", self.ca.is_some()),
            ("--fingerprint", self.fingerprint.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((argument, _)) => Err(ConnectionError::NoHost(argument)),
            None => Ok(()),
        }
    }
}

fn read_token(path: &Path) -> Result<String, ConnectionError> {
    let failed = |source| ConnectionError::TokenFile {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(TOKEN_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.trim().is_empty() || text.len() as u64 > TOKEN_BYTES_MAX {
        return Err(failed(io::Error::other("it holds no token")));
    }
    Ok(text)
}

/// A name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Without brackets.
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) server_name: ServerName<'static>,
}

impl std::str::FromStr for Host {
    type Err = HostError;

    /// `edge-1`, `edge-1:443`, `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]:443`; also as the start of
    /// a URL, as it is copied from a browser.
    fn from_str(text: &str) -> Result<Self, HostError> {
        let wrong = || HostError(text.to_owned());
        let bare = text.strip_prefix("https://").unwrap_or(text);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let (name, port) = if bare.parse::<IpAddr>().is_ok() {
            (bare, None)
        } else if let Some(bracketed) = bare.strip_prefix('[') {
            let (name, rest) = bracketed.split_once(']').ok_or_else(wrong)?;
            (
                name,
                rest.strip_prefix(':')
                    .or(Some(rest).filter(|rest| !rest.is_empty())),
            )
        } else {
            match bare.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (bare, None),
            }
        };
        let port = match port {
            None => PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|&port| port > 0)
                .ok_or_else(wrong)?,
        };
        let server_name = ServerName::try_from(name.to_owned()).map_err(|_| wrong())?;
        Ok(Self {
            name: name.to_owned(),
            port,
            server_name,
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("'{0}' is no HOST or HOST:PORT")]
pub(crate) struct HostError(String);

/// The arguments about the appliance make no sense.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("PALISADE_HOST: {0}")]
    HostVariable(HostError),
    #[error("PALISADE_FINGERPRINT: {0}")]
    FingerprintVariable(crate::client::tls::FingerprintError),
    #[error("{0} is for another appliance: name it with --host or PALISADE_HOST")]
    NoHost(&'static str),
    #[error("over the network a token is needed: PALISADE_TOKEN, or --token-file FILE")]
    NoToken,
    #[error("cannot read the token from {}: {source}", path.display())]
    TokenFile { path: PathBuf, source: io::Error },
    #[error("the token has characters that no token has")]
    Token,
}

impl ConnectionError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::HostVariable(_)
            | Self::FingerprintVariable(_)
            | Self::NoHost(_)
            | Self::NoToken
            | Self::TokenFile { .. }
            | Self::Token => Exit::WrongInput,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use web_ui::fake::TempDir;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        connection: Connection,
    }

    fn target(words: &[&str], variables: &[(&str, &str)]) -> Result<Target, String> {
        let line = Line::try_parse_from(["palisade"].iter().chain(words))
            .map_err(|error| error.to_string())?;
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        line.connection
            .target(variable)
            .map_err(|error| error.to_string())
    }

    fn remote(words: &[&str], variables: &[(&str, &str)]) -> Remote {
        match target(words, variables) {
            Ok(Target::Network(remote)) => remote,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for (text, shown) in [
            ("edge-1", "edge-1:8443"),
            ("edge-1.example.org:443", "edge-1.example.org:443"),
            ("192.0.2.1", "192.0.2.1:8443"),
            ("2001:db8::1", "[2001:db8::1]:8443"),
            ("[2001:db8::1]", "[2001:db8::1]:8443"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("https://edge-1:8443/", "edge-1:8443"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), shown);
        }
        for wrong in [
            "",
            ":443",
            "edge-1:0",
            "edge-1:http",
            "[2001:db8::1",
            "[::1]x",
            "a b",
        ] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_said_means_the_appliance_of_this_machine() {
        let Ok(Target::Socket(path)) = target(&[], &[("PALISADE_TOKEN", "plt_1")]) else {
            panic!()
        };
        assert_eq!(path, Path::new(crate::SOCKET));
        // What is on the command line counts.
        let local = target(&["--socket", "/s"], &[("PALISADE_HOST", "edge-1")]);
        assert!(matches!(local, Ok(Target::Socket(_))), "{local:?}");
        assert!(target(&["--socket", "/s", "--host", "edge-1"], &[]).is_err());
    }

    #[test]
    fn what_is_meant_for_another_appliance_never_reaches_the_one_here() {
        for words in [["--token", "plt_1"], ["--token-file", "/t"], ["--ca", "/c"]] {
            let error = target(&words, &[]).unwrap_err();
            assert!(error.starts_with(words[0]), "{error}");
        }
    }

    #[test]
    fn a_token_comes_from_the_environment_or_a_file_and_is_not_shown() {
        let dir = TempDir::new();
        let file = dir.path().join("token");
        std::fs::write(&file, "plt_file\n").unwrap();
        let variables = [("PALISADE_HOST", "edge-1"), ("PALISADE_TOKEN", "plt_env")];
        let by_variable = remote(&[], &variables);
        assert_eq!(by_variable.authorization, "Bearer plt_env");
        assert!(!format!("{by_variable:?}").contains("plt_env"));
        let by_file = remote(&["--token-file", file.to_str().unwrap()], &variables);
        assert_eq!(by_file.authorization, "Bearer plt_file");

        std::fs::write(&file, "\n").unwrap();
        let empty = target(&["--token-file", file.to_str().unwrap()], &variables);
        assert!(empty.unwrap_err().contains("holds no token"));
        let none = target(&["--host", "edge-1"], &[("PALISADE_TOKEN", "")]).unwrap_err();
        assert!(none.contains("PALISADE_TOKEN"), "{none}");
        let odd = target(&["--host", "edge-1", "--token", "a\nb"], &[]).unwrap_err();
        assert!(!odd.contains("a\nb"), "{odd}");
    }

    #[test]
    fn trust_on_the_command_line_goes_before_that_of_the_environment() {
        let pin = "AB".repeat(32);
        let variables = [
            ("PALISADE_HOST", "edge-1"),
            ("PALISADE_TOKEN", "plt_1"),
            ("PALISADE_FINGERPRINT", pin.as_str()),
        ];
        let trust = remote(&[], &variables).trust;
        assert!(matches!(trust, Trust::Fingerprint(_)), "{trust:?}");
        let trust = remote(&["--ca", "/ca.pem"], &variables).trust;
        assert!(matches!(trust, Trust::Authorities(_)), "{trust:?}");
        let trust = remote(&[], &variables[..2]).trust;
        assert!(matches!(trust, Trust::Public), "{trust:?}");
    }
}
