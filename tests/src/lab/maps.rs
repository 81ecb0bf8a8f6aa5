//! BPF maps of another process.

use std::fs;

use anyhow::{Context as _, Result, bail};
use aya::maps::{Map, MapData};

/// The map of that name that a process holds open.
pub(super) fn of(process: u32, name: &str) -> Result<Map> {
    for entry in fs::read_dir(format!("/proc/{process}/fdinfo"))? {
        // A descriptor that was closed meanwhile is not the one that is wanted.
        let Ok(facts) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let Some(id) = facts.lines().find_map(|line| line.strip_prefix("map_id:")) else {
            continue;
        };
        let data = MapData::from_id(id.trim().parse()?)?;
        if data.info()?.name_as_str() == Some(name) {
            return Map::from_map_data(data).with_context(|| format!("cannot use {name}"));
        }
    }
    bail!("process {process} holds no map {name}")
}
