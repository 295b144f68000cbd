//! The log of the run that is watched.

use std::sync::{Arc, Mutex};

use boathouse_core::ids::{RunId, ThreadId};
use boathouse_core::run::event::RunState;
use futures_util::FutureExt;

use crate::journal::memory::MemoryJournal;
use crate::journal::{Append, Journal, Lease, NewRun, Stored};

#[derive(Default)]
pub(super) struct Log {
    pub(super) journal: Arc<MemoryJournal>,
    lease: Mutex<Option<Lease>>,
}

impl Log {
    /// Keeps events of the run `r`. The journal in memory never waits.
    pub(super) fn commit(&self, events: &[Arc<Stored>]) {
        let (run, state, events) = (RunId::from("r"), RunState::Running, events.to_vec());
        let mut held = self.lease.lock().unwrap();
        if let Some(lease) = *held {
            let append = Append {
                run,
                lease,
                state,
                events,
                requests: Vec::new(),
                on_thread: None,
                people: Default::default(),
            };
            self.journal.append(append).now_or_never().unwrap().unwrap();
        } else {
            let (crew, thread) = ("c".to_owned(), ThreadId::from("t"));
            let new = NewRun {
                run,
                crew,
                crew_hash: "h".into(),
                thread,
                state,
                events,
                request: None,
                on_thread: None,
                people: Default::default(),
            };
            *held = Some(self.journal.create(new).now_or_never().unwrap().unwrap());
        }
    }
}
