//! A disk whose power can be cut at any step, and what the store makes of what is left.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::super::disk::Disk;
use super::super::revision::Source;
use super::super::text::hash;
use super::*;
use crate::audit::{Actor, Via};

/// Keeps apart what programs see and what is on the platter.
#[derive(Clone, Debug, Default)]
pub(in crate::lifecycle) struct Machine(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    files: Vec<Bytes>,
    seen: BTreeMap<String, usize>,
    synced: BTreeMap<String, usize>,
    steps: usize,
    fault: Option<Fault>,
}

#[derive(Clone, Debug, Default)]
struct Bytes {
    seen: Vec<u8>,
    synced: Vec<u8>,
}

/// What happens at a step, counted from 1.
#[derive(Clone, Copy, Debug)]
pub(in crate::lifecycle) enum Fault {
    /// It and all that follow fail; a write is left half done.
    PowerCut(usize),
    /// It fails, and the next one does not.
    Error(usize),
}

/// What a disk had still written by itself when the power went.
#[derive(Clone, Copy, Debug)]
pub(in crate::lifecycle) enum Left {
    OnlySynced,
    Everything,
    /// The names are there before what is in the files.
    Names,
    Contents,
    /// Half of what was written since the last sync.
    Torn,
}

pub(in crate::lifecycle) const LEFT: [Left; 5] = [
    Left::OnlySynced,
    Left::Everything,
    Left::Names,
    Left::Contents,
    Left::Torn,
];

impl Machine {
    pub(in crate::lifecycle) fn store(&self) -> Store {
        Store::new(Arc::new(self.clone()))
    }

    /// From here on; steps are counted anew.
    pub(in crate::lifecycle) fn set(&self, fault: Option<Fault>) {
        let mut state = self.0.lock().unwrap();
        state.steps = 0;
        state.fault = fault;
    }

    pub(in crate::lifecycle) fn steps(&self) -> usize {
        self.0.lock().unwrap().steps
    }

    /// The same machine after the power has come back.
    pub(in crate::lifecycle) fn restarted(&self, left: Left) -> Self {
        let state = self.0.lock().unwrap().clone();
        let names = match left {
            Left::OnlySynced | Left::Contents => state.synced,
            Left::Everything | Left::Names | Left::Torn => state.seen,
        };
        let contents = |bytes: Bytes| match left {
            Left::OnlySynced | Left::Names => bytes.synced,
            Left::Everything | Left::Contents => bytes.seen,
            Left::Torn if bytes.seen == bytes.synced => bytes.seen,
            Left::Torn => bytes.seen[..bytes.seen.len() / 2].to_vec(),
        };
        let files = state.files.into_iter().map(contents);
        let files = files
            .map(|bytes| Bytes {
                seen: bytes.clone(),
                synced: bytes,
            })
            .collect();
        Self(Arc::new(Mutex::new(State {
            files,
            seen: names.clone(),
            synced: names,
            ..State::default()
        })))
    }

    /// Changes a file behind everybody's back.
    pub(in crate::lifecycle) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock().unwrap();
        let file = state.seen[name];
        change(&mut state.files[file].seen);
    }

    fn step<T>(&self, work: impl FnOnce(&mut State, bool) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        state.steps += 1;
        let at = state.steps;
        match state.fault {
            Some(Fault::PowerCut(step)) if at == step => {
                let _ = work(&mut state, true);
                Err(io::Error::other("the power went"))
            }
            Some(Fault::PowerCut(step)) if at > step => Err(io::Error::other("the power is off")),
            Some(Fault::Error(step)) if at == step => Err(io::ErrorKind::StorageFull.into()),
            _ => work(&mut state, false),
        }
    }
}

impl Disk for Machine {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().seen.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.0.lock().unwrap();
        let file = state.seen.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(state.files[*file].seen.clone())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step(|state, cut| {
            let number = *state.seen.entry(name.to_owned()).or_insert_with(|| {
                state.files.push(Bytes::default());
                state.files.len() - 1
            });
            let length = if cut { bytes.len() / 2 } else { bytes.len() };
            state.files[number].seen = bytes[..length].to_vec();
            Ok(())
        })
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.step(|state, cut| {
            let file = *state.seen.get(name).ok_or(io::ErrorKind::NotFound)?;
            let file = &mut state.files[file];
            if !cut {
                file.synced = file.seen.clone();
            }
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step(|state, _| {
            let file = state.seen.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.seen.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step(|state, _| {
            state.seen.remove(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.step(|state, cut| {
            if !cut {
                state.synced = state.seen.clone();
            }
            Ok(())
        })
    }
}

fn record(number: u64, text: &str) -> Record {
    Record {
        number,
        at: SystemTime::UNIX_EPOCH,
        author: Actor::system(Via::Boot),
        comment: "a\nb".to_owned(),
        source: Source::Commit,
        hash: hash(text.as_bytes()),
        on_trial: false,
        undone: false,
    }
}

const OLD: &str = "version: 1\n# the old one\n";
const NEW: &str = "version: 1\n# the new one, which is longer\n";

fn commit(store: &Store, before: &Manifest, text: &str) -> Result<Manifest, StoreError> {
    let record = record(before.next, text);
    let manifest = before.committed(record.clone(), None);
    store.prepare(&manifest, Some((&record, text)))?;
    store.complete(&manifest)?;
    Ok(manifest)
}

fn in_force(store: &Store) -> Option<String> {
    let found = store.open().unwrap();
    assert!(found.damage.is_empty(), "{:?}", found.damage);
    let manifest = found.manifest?;
    Some(
        store
            .text(manifest.record(manifest.in_force).unwrap())
            .unwrap(),
    )
}

#[test]
fn a_power_cut_at_any_step_leaves_the_old_or_the_new_revision() {
    let before = Machine::default();
    let first = commit(&before.store(), &Manifest::empty(), OLD).unwrap();
    let whole = before.restarted(Left::OnlySynced);
    commit(&whole.store(), &first, NEW).unwrap();
    let steps = whole.steps();
    assert!(steps >= 7, "write, sync and rename twice, and the names");
    let (mut old, mut new) = (0, 0);
    for step in 1..=steps {
        let machine = before.restarted(Left::OnlySynced);
        machine.set(Some(Fault::PowerCut(step)));
        let committed = commit(&machine.store(), &first, NEW);
        for left in LEFT {
            let store = machine.restarted(left).store();
            let text = in_force(&store).expect("never none");
            match &*text {
                OLD => old += 1,
                NEW => new += 1,
                other => panic!("step {step}, {left:?}: {other}"),
            }
            assert!(
                committed.is_err() || text == NEW,
                "step {step}, {left:?}: what was reported is there"
            );
            // The next commit finds its way over what is left.
            let manifest = store.open().unwrap().manifest.unwrap();
            commit(&store, &manifest, "version: 1\n").unwrap();
            assert_eq!(in_force(&store).unwrap(), "version: 1\n");
        }
    }
    assert!(old > 0 && new > 0, "both were seen: {old} and {new}");
}

#[test]
fn a_power_cut_during_the_first_commit_leaves_it_or_nothing() {
    let whole = Machine::default();
    commit(&whole.store(), &Manifest::empty(), OLD).unwrap();
    let mut nothing = 0;
    for step in 1..=whole.steps() {
        let machine = Machine::default();
        machine.set(Some(Fault::PowerCut(step)));
        let committed = commit(&machine.store(), &Manifest::empty(), OLD);
        for left in LEFT {
            match in_force(&machine.restarted(left).store()) {
                None => nothing += 1,
                Some(text) => assert_eq!(text, OLD),
            }
        }
        assert!(committed.is_err() || step == whole.steps());
    }
    assert!(nothing > 0);
}

#[test]
fn a_power_cut_leaves_the_old_candidate_or_the_new_one() {
    let before = Machine::default();
    before.store().keep_candidate(Some(OLD)).unwrap();
    for step in 1..=4 {
        let machine = before.restarted(Left::OnlySynced);
        machine.set(Some(Fault::PowerCut(step)));
        let kept = machine.store().keep_candidate(Some(NEW));
        for left in LEFT {
            let text = machine
                .restarted(left)
                .store()
                .candidate()
                .unwrap()
                .unwrap();
            assert!(
                text == NEW || (text == OLD && kept.is_err()),
                "step {step}, {left:?}"
            );
        }
    }
}

#[test]
fn an_error_of_the_disk_leaves_the_old_revision_and_the_next_commit_succeeds() {
    let before = Machine::default();
    let first = commit(&before.store(), &Manifest::empty(), OLD).unwrap();
    for step in 1..=6 {
        let machine = before.restarted(Left::OnlySynced);
        machine.set(Some(Fault::Error(step)));
        let store = machine.store();
        assert!(commit(&store, &first, NEW).is_err(), "step {step}");
        assert_eq!(in_force(&store).unwrap(), OLD);
        commit(&store, &first, NEW).unwrap();
        assert_eq!(in_force(&store).unwrap(), NEW);
    }
}

#[test]
fn damage_is_noticed_and_the_newest_whole_revision_is_found() {
    let machine = Machine::default();
    let store = machine.store();
    let first = commit(&store, &Manifest::empty(), OLD).unwrap();
    let second = commit(&store, &first, NEW).unwrap();
    for change in [
        |bytes: &mut Vec<u8>| bytes.truncate(40),
        |bytes: &mut Vec<u8>| bytes[90] ^= 1,
        |bytes: &mut Vec<u8>| bytes.clear(),
        |bytes: &mut Vec<u8>| *bytes = vec![0xff; 100],
    ] {
        let machine = machine.restarted(Left::Everything);
        let store = machine.store();
        machine.damage("manifest", change);
        let found = store.open().unwrap();
        assert_eq!(found.damage.len(), 1);
        assert_eq!(found.manifest.unwrap().in_force, 2);

        machine.damage("000002.yaml", change);
        assert!(store.text(second.record(2).unwrap()).is_err());
        assert_eq!(store.open().unwrap().manifest.unwrap().in_force, 1);
    }
}
