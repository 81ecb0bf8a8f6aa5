//! Files as a layer of an image.

use std::io;

use libdeflater::{CompressionLvl, Compressor};
use tar::{Builder, EntryType, Header};

use crate::Digest;

/// A file, directory or link of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Without a slash at its beginning: `var/lib/palisade`.
    pub path: String,
    /// Permission bits: `0o755`.
    pub mode: u32,
    pub owner: Owner,
    pub content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub user: u64,
    pub group: u64,
}

impl Owner {
    pub const ROOT: Self = Self { user: 0, group: 0 };
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Directory,
    File(Vec<u8>),
    /// Where it points to.
    Symlink(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// For an image that goes no further than this machine.
    None,
    /// What every registry, engine and tool reads.
    Gzip,
}

/// Entries as an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// As it is stored.
    pub bytes: Vec<u8>,
    pub compression: Compression,
    /// Of the archive before compression: `diff_ids` of an image's configuration.
    pub diff_id: Digest,
    /// Before compression.
    pub uncompressed_bytes: usize,
}

impl Layer {
    /// Sorts the entries, and adds the directories that lead to them.
    ///
    /// # Errors
    /// A path that is too long for a tar archive.
    pub fn new(mut entries: Vec<Entry>, compression: Compression) -> io::Result<Self> {
        for parent in parents(&entries) {
            entries.push(Entry {
                path: parent,
                mode: 0o755,
                owner: Owner::ROOT,
                content: Content::Directory,
            });
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let archive = archive(&entries)?;
        let diff_id = Digest::of(&archive);
        let uncompressed_bytes = archive.len();
        let bytes = match compression {
            Compression::None => archive,
            Compression::Gzip => gzip(&archive)?,
        };
        Ok(Self {
            bytes,
            compression,
            diff_id,
            uncompressed_bytes,
        })
    }
}

/// Directories above the entries that are not entries themselves.
fn parents(entries: &[Entry]) -> Vec<String> {
    let mut missing = Vec::new();
    for entry in entries {
        for (end, _) in entry.path.match_indices('/') {
            let parent = &entry.path[..end];
            let known = entries.iter().any(|entry| entry.path == parent);
            if !known && !missing.iter().any(|path| path == parent) {
                missing.push(parent.to_owned());
            }
        }
    }
    missing
}

fn archive(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(entry.owner.user);
        header.set_gid(entry.owner.group);
        // Whatever changes with the day would make another layer of the same files.
        header.set_mtime(0);
        header.set_size(0);
        match &entry.content {
            Content::Directory => {
                header.set_entry_type(EntryType::Directory);
                archive.append_data(&mut header, format!("{}/", entry.path), io::empty())?;
            }
            Content::File(bytes) => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(bytes.len() as u64);
                archive.append_data(&mut header, &entry.path, bytes.as_slice())?;
            }
            Content::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                archive.append_link(&mut header, &entry.path, target)?;
            }
        }
    }
    archive.into_inner()
}

/// Nothing says when or where: neither time nor name is in the header. No other of gzip's compressors that is as quick gets it as small.
fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(CompressionLvl::best());
    let mut packed = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let length = compressor
        .gzip_compress(bytes, &mut packed)
        .map_err(io::Error::other)?;
    packed.truncate(length);
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn file(path: &str, text: &str) -> Entry {
        Entry {
            path: path.into(),
            mode: 0o644,
            owner: Owner::ROOT,
            content: Content::File(text.into()),
        }
    }

    fn paths(layer: &Layer) -> Vec<String> {
        let mut archive = tar::Archive::new(layer.bytes.as_slice());
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect()
    }

    #[test]
    fn directories_come_before_what_is_in_them() {
        let entries = vec![file("etc/palisade/palisade.yaml", ""), file("bin", "")];
        let layer = Layer::new(entries, Compression::None).unwrap();
        let expected = ["bin", "etc/", "etc/palisade/", "etc/palisade/palisade.yaml"];
        assert_eq!(paths(&layer), expected);
    }

    #[test]
    fn the_order_of_the_entries_makes_no_difference() {
        let (a, b) = (file("a", "1"), file("b/c", "2"));
        let one = Layer::new(vec![a.clone(), b.clone()], Compression::Gzip).unwrap();
        let other = Layer::new(vec![b, a], Compression::Gzip).unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn a_compressed_layer_is_named_by_what_is_in_it() {
        let entries = vec![file("a", "text")];
        let plain = Layer::new(entries.clone(), Compression::None).unwrap();
        let packed = Layer::new(entries, Compression::Gzip).unwrap();
        assert_eq!(plain.diff_id, packed.diff_id);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.bytes.as_slice())
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, plain.bytes);
        assert_eq!(packed.uncompressed_bytes, plain.bytes.len());
    }

    #[test]
    fn owner_mode_and_links_are_kept() {
        let entries = vec![
            Entry {
                path: "state".into(),
                mode: 0o770,
                owner: Owner {
                    user: 65532,
                    group: 0,
                },
                content: Content::Directory,
            },
            Entry {
                path: "lib64".into(),
                mode: 0o777,
                owner: Owner::ROOT,
                content: Content::Symlink("lib".into()),
            },
        ];
        let layer = Layer::new(entries, Compression::None).unwrap();
        let mut archive = tar::Archive::new(layer.bytes.as_slice());
        let mut entries = archive.entries().unwrap().map(Result::unwrap);
        let link = entries.next().unwrap();
        assert_eq!(link.link_name().unwrap().unwrap().to_str(), Some("lib"));
        let state = entries.next().unwrap();
        let header = state.header();
        assert_eq!(header.mode().unwrap(), 0o770);
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (65532, 0));
        assert_eq!(header.mtime().unwrap(), 0);
    }
}
