//! A log to read from. Nothing else of a journal is asked of it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use boathouse_core::ids::{RunId, Seq};

use crate::journal::{Append, Journal, JournalError, Lease, NewRun, RunQuery, RunRow, Stored};

#[derive(Default)]
pub(super) struct Log(Mutex<Vec<Arc<Stored>>>);

impl Log {
    pub(super) fn commit(&self, events: &[Arc<Stored>]) {
        self.0.lock().unwrap().extend_from_slice(events);
    }
}

#[async_trait]
impl Journal for Log {
    async fn read(&self, _: &RunId, after: Seq, limit: usize) -> Result<Vec<Arc<Stored>>, JournalError> {
        let log = self.0.lock().unwrap();
        Ok(log.iter().filter(|stored| stored.recorded.seq > after).take(limit).cloned().collect())
    }
    async fn create(&self, _: NewRun) -> Result<Lease, JournalError> {
        Err(JournalError::Closed)
    }
    async fn append(&self, _: Append) -> Result<(), JournalError> {
        Err(JournalError::Closed)
    }
    async fn claim(&self, _: &RunId) -> Result<(Lease, RunRow), JournalError> {
        Err(JournalError::Closed)
    }
    async fn run(&self, _: &RunId) -> Result<Option<RunRow>, JournalError> {
        Err(JournalError::Closed)
    }
    async fn runs(&self, _: &RunQuery) -> Result<Vec<RunRow>, JournalError> {
        Err(JournalError::Closed)
    }
    async fn unfinished(&self) -> Result<Vec<RunId>, JournalError> {
        Err(JournalError::Closed)
    }
    async fn delete(&self, _: &RunId) -> Result<bool, JournalError> {
        Err(JournalError::Closed)
    }
    async fn put_crew(&self, _: &str, _: &str) -> Result<(), JournalError> {
        Err(JournalError::Closed)
    }
    async fn crew(&self, _: &str) -> Result<Option<String>, JournalError> {
        Err(JournalError::Closed)
    }
    fn is_durable(&self) -> bool {
        false
    }
    async fn check(&self) -> Result<(), JournalError> {
        Ok(())
    }
    async fn close(&self) {}
}
