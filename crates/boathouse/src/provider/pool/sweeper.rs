//! The task that drops expired clients while nobody asks for one.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{Pooled, Shared};

/// Between two turns.
const INTERVAL: Duration = Duration::from_secs(30);

/// Owns the task, if one runs: dropping it aborts the task.
#[derive(Default)]
pub(super) struct Sweeper {
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Sweeper {
    /// Starts the task, unless it runs or there is no runtime to run it.
    ///
    /// It holds the pool only while it takes a turn.
    pub(super) fn wake<C: Pooled>(&self, shared: &Arc<Shared<C>>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let shared = Arc::downgrade(shared);
        *task = Some(runtime.spawn(run(shared)));
    }
}

async fn run<C: Pooled>(shared: Weak<Shared<C>>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        match shared.upgrade() {
            Some(shared) => shared.tidy(),
            None => return,
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}
