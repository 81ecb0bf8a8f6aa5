//! Countries: the networks that a database in MaxMind DB format gives to each.
//!
//! The user supplies the file and replaces it when there is a newer one. Read are the shapes in use:
//! GeoLite2 and DB-IP (`country.iso_code`), IPinfo (`country_code`, or `country` as two letters).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use maxminddb::{MaxMindDbError, Reader, WithinOptions, path};
use rules::{AddressSet, Outside};

use super::board::Board;
use super::watched::{self, FileError, LOOK, Watched};

/// Several times the largest that tell countries.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// Why a database is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum CountriesError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("no database of countries: {0}")]
    Malformed(#[from] MaxMindDbError),
    #[error("no database of countries: '{0}' tells none")]
    NoCountries(String),
}

/// Whether a file could be used.
pub(super) fn check(path: &Path) -> Result<(), CountriesError> {
    networks(watched::read(path, MAX_FILE_BYTES)?, &BTreeSet::new()).map(|_| ())
}

/// Keeps countries current for as long as it is polled.
pub(super) async fn keep(path: PathBuf, codes: BTreeSet<String>, board: Arc<Board>) {
    let mut file = Watched::new(path, MAX_FILE_BYTES);
    let codes = Arc::new(codes);
    loop {
        let wanted = codes.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let found = file.look().map_err(CountriesError::from);
            let read = found.and_then(|bytes| bytes.map(|it| networks(it, &wanted)).transpose());
            (file, read)
        });
        let Ok((back, read)) = looking.await else {
            return;
        };
        file = back;
        match read {
            Ok(None) => {}
            Ok(Some(mut networks)) => {
                for code in &*codes {
                    let set = networks.remove(code).unwrap_or_default();
                    board.learn(&Outside::Country(code.clone()), set, None);
                }
            }
            Err(error) => {
                for code in &*codes {
                    board.fail(&Outside::Country(code.clone()), &error, None);
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// All networks of each of the countries.
fn networks(
    bytes: Vec<u8>,
    codes: &BTreeSet<String>,
) -> Result<BTreeMap<String, AddressSet>, CountriesError> {
    let reader = Reader::from_source(bytes)?;
    let mut found: BTreeMap<&str, Vec<AddressSet>> = BTreeMap::new();
    // Many networks share what is said of them.
    let mut said: HashMap<usize, Option<String>> = HashMap::new();
    let mut has_countries = false;
    for network in reader.networks(WithinOptions::default())? {
        let network = network?;
        let Some(place) = network.offset() else {
            continue;
        };
        let code = match said.entry(place) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(free) => free.insert(country(&network)?),
        };
        has_countries |= code.is_some();
        if let Some(code) = code.as_ref().and_then(|code| codes.get(code)) {
            let net = network.network()?;
            let net = IpNet::new(net.ip(), net.prefix())
                .map_err(|error| MaxMindDbError::invalid_database(error.to_string()))?;
            found.entry(code).or_default().push(net.into());
        }
    }
    if !has_countries {
        return Err(CountriesError::NoCountries(
            reader.metadata().database_type.clone(),
        ));
    }
    Ok(found
        .into_iter()
        .map(|(code, nets)| (code.to_owned(), AddressSet::union(&nets)))
        .collect())
}

fn country<S: AsRef<[u8]>>(
    network: &maxminddb::LookupResult<'_, S>,
) -> Result<Option<String>, MaxMindDbError> {
    if let Ok(Some(code)) = network.decode_path::<String>(&path!["country", "iso_code"]) {
        return Ok(Some(code));
    }
    if let Some(code) = network.decode_path::<String>(&path!["country_code"])? {
        return Ok(Some(code));
    }
    // Where it is a map without a code, as for addresses of no country, there is none.
    let code = network.decode_path::<String>(&path!["country"]);
    Ok(code.ok().flatten().filter(|code| code.len() == 2))
}
