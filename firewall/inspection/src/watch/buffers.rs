//! Buffers that are handed over together.

use signatures::Buffer;

/// One behind the other, in one piece of memory: a head has some twenty.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    bytes: Vec<u8>,
    /// Each with where it ends.
    parts: Vec<(Buffer, usize)>,
}

impl Buffers {
    /// With room for what most heads have.
    pub(super) fn of_head() -> Self {
        Self {
            bytes: Vec::with_capacity(1_536),
            parts: Vec::with_capacity(24),
        }
    }

    pub(super) fn of(buffer: Buffer, bytes: &[u8]) -> Self {
        let mut buffers = Self::default();
        buffers.push(buffer, bytes);
        buffers
    }

    pub(super) fn push(&mut self, buffer: Buffer, bytes: &[u8]) {
        self.push_joined(buffer, &[bytes]);
    }

    pub(super) fn push_joined(&mut self, buffer: Buffer, pieces: &[&[u8]]) {
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        self.parts.push((buffer, self.bytes.len()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(super) fn all(&self) -> Vec<(Buffer, &[u8])> {
        let mut begin = 0;
        self.parts
            .iter()
            .map(|&(buffer, end)| (buffer, &self.bytes[std::mem::replace(&mut begin, end)..end]))
            .collect()
    }

    /// Those of one kind, as another.
    pub(super) fn take(&mut self, from: Buffer, to: Buffer) -> Self {
        let (mut taken, mut others) = (Self::default(), Self::default());
        for (buffer, bytes) in self.all() {
            if buffer == from {
                taken.push(to, bytes);
            } else {
                others.push(buffer, bytes);
            }
        }
        *self = others;
        taken
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
