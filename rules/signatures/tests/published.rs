//! Rules that somebody else published, all of them.

use std::fs;
use std::path::{Path, PathBuf};

use palisade_signatures::{LoadOptions, LoadReport, Source, load};

fn files() -> Option<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/signatures");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "rules")
        })
        .collect();
    files.sort();
    Some(files)
}

fn report(files: &[PathBuf]) -> LoadReport {
    let texts: Vec<_> = files
        .iter()
        .map(|path| (path.display().to_string(), fs::read(path).unwrap()))
        .collect();
    let sources: Vec<_> = texts
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    load(&sources, &LoadOptions::default()).unwrap().1
}

#[test]
fn nine_of_ten_published_rules_load() {
    let Some(files) = files() else {
        println!("SKIPPED: ../shared/data/signatures is not there");
        return;
    };
    let report = report(&files);
    for fault in &report.faults {
        println!(
            "{}:{}: {:?}: {}",
            fault.file, fault.line, fault.sid, fault.reason
        );
    }
    let (loaded, faulty) = (report.loaded(), report.faulty());
    println!("{loaded} loaded, {faulty} faulty");
    assert!(loaded + faulty > 3000);
    assert!(loaded * 10 >= (loaded + faulty) * 9);
}
