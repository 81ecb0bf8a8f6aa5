//! How ports stand, for whoever looks.

use super::{AttachMode, Attached, PortId};

/// A port that the configuration wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortState {
    pub id: PortId,
    pub device: String,
    pub stands: Stands,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands {
    Attached {
        ifindex: u32,
        mode: AttachMode,
        /// Both ends of its private pair.
        pair: Option<[u32; 2]>,
        /// What is not as it should be all the same.
        trouble: Option<String>,
    },
    Waiting {
        reason: String,
    },
}

impl PortState {
    #[must_use]
    pub(crate) fn attached(port: &Attached, trouble: Option<String>) -> Self {
        let pair = port.pair.as_ref();
        Self {
            id: port.id,
            device: port.device.clone(),
            stands: Stands::Attached {
                ifindex: port.ifindex,
                mode: port.mode,
                pair: pair.map(|pair| [pair.outer_ifindex, pair.inner_ifindex]),
                trouble,
            },
        }
    }

    /// How it is attached.
    #[must_use]
    pub fn mode(&self) -> Option<AttachMode> {
        match &self.stands {
            Stands::Attached { mode, .. } => Some(*mode),
            Stands::Waiting { .. } => None,
        }
    }

    /// Both ends of its private pair.
    #[must_use]
    pub fn pair(&self) -> Option<[u32; 2]> {
        match &self.stands {
            Stands::Attached { pair, .. } => *pair,
            Stands::Waiting { .. } => None,
        }
    }

    /// What is not as it should be though it is attached.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        match &self.stands {
            Stands::Attached { trouble, .. } => trouble.as_deref(),
            Stands::Waiting { .. } => None,
        }
    }

    /// Why it is not attached.
    #[must_use]
    pub fn waits_for(&self) -> Option<&str> {
        match &self.stands {
            Stands::Attached { .. } => None,
            Stands::Waiting { reason } => Some(reason),
        }
    }
}
