//! One server per file: a lock that the operating system drops when the process ends, however it ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::journal::JournalError;

/// Held while a process serves a journal.
#[derive(Debug)]
pub(super) struct ServerLock {
    _file: File,
}

impl ServerLock {
    /// Locks `<journal>.lock`. The file stays when the lock goes: removing it could let two servers in.
    pub(super) fn take(journal: &Path) -> Result<ServerLock, JournalError> {
        let mut path = journal.as_os_str().to_owned();
        path.push(".lock");
        let path = Path::new(&path);
        let unavailable = |error: std::io::Error| {
            JournalError::Unavailable(format!("the lock file {} cannot be used: {error}", path.display()))
        };
        let file =
            File::options().create(true).truncate(false).write(true).open(path).map_err(unavailable)?;
        match file.try_lock() {
            Ok(()) => Ok(ServerLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Unavailable(format!(
                "another process serves {}; stop it, or choose another file",
                journal.display()
            ))),
            Err(TryLockError::Error(error)) => Err(unavailable(error)),
        }
    }
}
