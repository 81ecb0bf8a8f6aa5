//! The last good content of feeds, names and lists of URLs, on disk: a restart without a network begins with it.
//!
//! One text file for each, a range a line, that ends with how many there are: a file that was cut short is
//! as good as none. Of a list it is the text itself, behind a line that says how long it is. Files are replaced whole. What is wrong with one costs what it held, and is logged.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rules::address::parse_addresses;
use rules::{AddressSet, Outside};
use sha2::{Digest as _, Sha256};

use super::source;
use crate::config::KeptList;

#[derive(Clone, Debug)]
pub(super) struct Store {
    directory: PathBuf,
}

const FIRST_LINE: &str = "# palisade object 1";
const FIRST_LIST_LINE: &str = "# palisade list 1, bytes: ";
const SOURCE: &str = "# source ";
const END: &str = "# end ";
/// What nobody has asked for so long is not needed by an earlier configuration either.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

impl Store {
    /// `directory` is made when there is something to keep.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// What was saved of an object, if it is from the same source.
    pub(super) fn load(&self, outside: &Outside, source: &str) -> Option<AddressSet> {
        let path = self.path(outside);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot be read");
                return None;
            }
        };
        let saved = parse(&text);
        if saved.is_none() {
            tracing::warn!(path = %path.display(), "damaged, and not used");
        }
        saved
            .filter(|(saved_source, _)| saved_source == source)
            .map(|(_, set)| set)
    }

    /// Waits for the disk.
    pub(super) fn save(&self, outside: &Outside, source: &str, set: &AddressSet) {
        let path = self.path(outside);
        let text = text_of(source, set);
        if let Err(error) = write(&self.directory, &path, &[text.as_bytes()]) {
            tracing::warn!(path = %path.display(), %error, "not saved: a restart will not know it");
        }
    }

    /// What was saved of a list, in whole.
    pub(super) fn load_list(&self, list: &KeptList) -> Option<Vec<u8>> {
        let path = self.list_path(list);
        let mut bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot be read");
                return None;
            }
        };
        let body = body_of(&bytes);
        if body.is_none() {
            tracing::warn!(path = %path.display(), "damaged, and not used");
        }
        let start = body?;
        bytes.drain(..start);
        Some(bytes)
    }

    /// Waits for the disk.
    pub(super) fn save_list(&self, list: &KeptList, content: &[u8]) {
        let path = self.list_path(list);
        let head = format!("{FIRST_LIST_LINE}{}\n", content.len());
        if let Err(error) = write(&self.directory, &path, &[head.as_bytes(), content]) {
            tracing::warn!(path = %path.display(), %error, "not saved: a restart will not know it");
        }
    }

    /// Removes files of what is not wanted and was not saved for long.
    pub(super) fn tidy(&self, wanted: &BTreeSet<Outside>, lists: &[KeptList]) {
        let wanted = wanted.iter().map(|outside| self.path(outside));
        let lists = lists.iter().map(|list| self.list_path(list));
        let wanted: BTreeSet<_> = wanted.chain(lists).collect();
        let Ok(files) = fs::read_dir(&self.directory) else {
            return;
        };
        for file in files.flatten() {
            let is_old = file
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|saved| saved.elapsed().is_ok_and(|age| age > KEPT));
            if is_old && !wanted.contains(&file.path()) {
                // The next start tries again.
                let _ = fs::remove_file(file.path());
            }
        }
    }

    /// Names were checked: neither kind can hold a slash.
    fn path(&self, outside: &Outside) -> PathBuf {
        let file = format!("{}-{}", outside.kind(), outside.name());
        self.directory.join(file.replace('/', "_"))
    }

    /// Two configurations may have one name for lists from different places.
    fn list_path(&self, list: &KeptList) -> PathBuf {
        let place = Sha256::digest(source::shown(&list.source));
        let place: String = place[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.directory
            .join(format!("url-list-{}-{place}", list.name))
    }
}

/// Where the content begins, if it is whole.
fn body_of(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&bytes[..end]).ok()?;
    let length: usize = line.strip_prefix(FIRST_LIST_LINE)?.parse().ok()?;
    (bytes.len() - end - 1 == length).then_some(end + 1)
}

fn text_of(source: &str, set: &AddressSet) -> String {
    let mut lines = vec![FIRST_LINE.to_owned(), format!("{SOURCE}{source}")];
    lines.extend(
        set.v4_ranges()
            .map(|(first, last)| format!("{first}-{last}")),
    );
    lines.extend(
        set.v6_ranges()
            .map(|(first, last)| format!("{first}-{last}")),
    );
    lines.push(format!("{END}{}\n", set.ranges()));
    lines.join("\n")
}

fn parse(text: &str) -> Option<(String, AddressSet)> {
    let mut lines = text.lines();
    if lines.next()? != FIRST_LINE {
        return None;
    }
    let source = lines.next()?.strip_prefix(SOURCE)?.to_owned();
    let count: usize = lines.next_back()?.strip_prefix(END)?.parse().ok()?;
    let ranges: Result<Vec<_>, _> = lines.map(parse_addresses).collect();
    let ranges = ranges.ok()?;
    (ranges.len() == count).then(|| (source, AddressSet::union(&ranges)))
}

fn write(directory: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push("~");
    let mut file = File::create(&fresh)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[&str]) -> AddressSet {
        let sets: Vec<_> = items
            .iter()
            .map(|item| parse_addresses(item).unwrap())
            .collect();
        AddressSet::union(&sets)
    }

    #[test]
    fn what_was_saved_is_read_back_and_anything_less_is_not() {
        let text = text_of(
            "there",
            &set(&["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]),
        );
        let (source, read) = parse(&text).unwrap();
        assert_eq!(source, "there");
        assert_eq!(
            read,
            set(&["2001:db8::/32", "198.51.100.7", "192.0.2.0/24"])
        );
        for end in 0..text.len() - 1 {
            assert_eq!(parse(&text[..end]), None, "{}", &text[..end]);
        }
        assert_eq!(parse(&text.replace("198.51", "198.x")), None);
        let empty = text_of("there", &AddressSet::default());
        assert_eq!(
            parse(&empty),
            Some(("there".to_owned(), AddressSet::default()))
        );
    }

    #[test]
    fn a_file_counts_only_for_its_object_and_source() {
        let directory = super::super::testing::Directory::new("store");
        let store = Store::new(directory.path().join("objects"));
        let feed = Outside::Feed("list".to_owned());
        assert_eq!(store.load(&feed, "here"), None);
        store.save(&feed, "here", &set(&["192.0.2.1"]));
        assert_eq!(store.load(&feed, "here"), Some(set(&["192.0.2.1"])));
        assert_eq!(store.load(&feed, "there"), None);
        assert_eq!(store.load(&Outside::Fqdn("list".to_owned()), "here"), None);
        store.tidy(&BTreeSet::new(), &[]);
        assert!(store.load(&feed, "here").is_some(), "it is not old");
    }

    #[test]
    fn a_list_is_read_back_whole_or_not_at_all() {
        let directory = super::super::testing::Directory::new("lists");
        let store = Store::new(directory.path().to_owned());
        let list = |place: &str| KeptList {
            name: "ads".to_owned(),
            source: crate::config::FeedSource::File(place.into()),
            limits: crate::config::UrlListLimits {
                at_least: 1,
                at_most: 9,
                most_change_percent: None,
            },
            required: false,
        };
        assert_eq!(store.load_list(&list("/a")), None);
        store.save_list(&list("/a"), b"a.example\n\xff");
        assert_eq!(
            store.load_list(&list("/a")).as_deref(),
            Some(&b"a.example\n\xff"[..])
        );
        assert_eq!(store.load_list(&list("/b")), None);
        let path = store.list_path(&list("/a"));
        let whole = fs::read(&path).unwrap();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(store.load_list(&list("/a")), None, "{end}");
        }
    }
}
