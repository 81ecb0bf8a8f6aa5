//! Buffers that are handed over together.

use signatures::Buffer;

#[derive(Debug, Default)]
pub(super) struct Buffers(Vec<(Buffer, Vec<u8>)>);

impl Buffers {
    pub(super) fn of(buffer: Buffer, bytes: &[u8]) -> Self {
        Self(vec![(buffer, bytes.to_vec())])
    }

    pub(super) fn push(&mut self, buffer: Buffer, bytes: &[u8]) {
        self.0.push((buffer, bytes.to_vec()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn all(&self) -> Vec<(Buffer, &[u8])> {
        self.0
            .iter()
            .map(|(buffer, bytes)| (*buffer, bytes.as_slice()))
            .collect()
    }

    /// Those of one kind, as another.
    pub(super) fn take(&mut self, from: Buffer, to: Buffer) -> Self {
        let taken = self.0.extract_if(.., |(buffer, _)| *buffer == from);
        Self(taken.map(|(_, bytes)| (to, bytes)).collect())
    }
}

/// RFC 4253 4.2: `SSH-protoversion-softwareversion comments`.
pub(super) fn ssh(line: &[u8]) -> Buffers {
    let mut parts = line.splitn(3, |byte| *byte == b'-').skip(1);
    let mut buffers = Buffers::default();
    for buffer in [Buffer::SshProtocol, Buffer::SshSoftware] {
        if let Some(part) = parts.next() {
            buffers.push(buffer, part);
        }
    }
    buffers
}
