//! BPF maps of another process.

use std::fs;

use anyhow::{Context as _, Result, bail};
use aya::maps::{Map, MapData};
use aya::programs::loaded_programs;

/// The map of that name that a process's programs use.
pub(super) fn of(process: u32, name: &str) -> Result<Map> {
    let programs = programs_of(process)?;
    for program in loaded_programs() {
        // One that was unloaded meanwhile is not of this process.
        let Ok(program) = program else { continue };
        if !programs.contains(&program.id()) {
            continue;
        }
        for map in program.map_ids()?.context("no map numbers")? {
            let data = MapData::from_id(map)?;
            if data.info()?.name_as_str() == Some(name) {
                return Map::from_map_data(data).with_context(|| format!("cannot use {name}"));
            }
        }
    }
    bail!("no program of process {process} uses a map {name}")
}

fn programs_of(process: u32) -> Result<Vec<u32>> {
    let mut programs = Vec::new();
    for entry in fs::read_dir(format!("/proc/{process}/fdinfo"))? {
        // A descriptor that was closed meanwhile is none of a program.
        let Ok(facts) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let mut lines = facts.lines();
        if let Some(id) = lines.find_map(|line| line.strip_prefix("prog_id:")) {
            programs.push(id.trim().parse()?);
        }
    }
    Ok(programs)
}
