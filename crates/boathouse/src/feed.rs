//! Events and deltas to whoever watches a run.

use std::sync::Arc;

use boathouse_core::ids::CallId;
use bytes::Bytes;

use crate::journal::{JournalError, Stored};

/// What a watcher is given.
#[derive(Clone, Debug)]
pub enum Item {
    /// An event, committed.
    Event(Arc<Stored>),
    /// A piece of a reply in flight: `data` is one JSON object
    /// `{"type":"delta","call":3,"attempt":1,"offset":0,"text":"..."}`, encoded once for all watchers. `offset` counts
    /// bytes of UTF-8.
    Delta(Bytes),
    /// The whole text so far of a reply in flight; replaces what was shown of it.
    Snapshot {
        /// The call.
        call: CallId,
        /// The try.
        attempt: u32,
        /// The text so far.
        text: String,
    },
    /// The watcher fell behind what is kept in memory: deltas were lost; events follow from the journal, and a snapshot.
    Gap,
}

/// One watcher of one run.
pub struct Watch {
    _private: (),
}

impl Watch {
    /// What has come since the last call, waiting for the first of it; `None` once the run's last event was given.
    ///
    /// Everything that is ready comes at once, in order. Cancel safe: nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Vec<Item>>, JournalError> {
        todo!()
    }

    /// Whether the run is paused or ended and everything of it has been given: nothing comes without a command.
    pub fn at_rest(&self) -> bool {
        todo!()
    }
}
