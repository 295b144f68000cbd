//! Who has the file: one server alone, or several that share it. The operating system drops the lock when the process
//! ends, however it ends.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::SystemTime;

use boathouse_core::ids::Timestamp;

use crate::journal::JournalError;

/// Held while a process serves a journal.
#[derive(Debug)]
pub(super) struct ServerLock {
    _file: File,
}

impl ServerLock {
    /// Locks `<journal>.lock` for this process alone, and writes into it who holds it. The file stays when the lock
    /// goes: removing it could let two servers in.
    pub(super) fn take(journal: &Path) -> Result<ServerLock, JournalError> {
        ServerLock::lock(journal, File::try_lock, |mut file| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(this_process().as_bytes())
        })
    }

    /// Locks `<journal>.lock` together with others that share the journal.
    pub(super) fn share(journal: &Path) -> Result<ServerLock, JournalError> {
        ServerLock::lock(journal, File::try_lock_shared, |file| file.set_len(0))
    }

    fn lock(
        journal: &Path,
        try_lock: impl Fn(&File) -> Result<(), TryLockError>,
        sign: impl Fn(&File) -> std::io::Result<()>,
    ) -> Result<ServerLock, JournalError> {
        let mut path = journal.as_os_str().to_owned();
        path.push(".lock");
        let path = Path::new(&path);
        let unavailable = |error: std::io::Error| {
            JournalError::Unavailable(format!("the lock file {} cannot be used: {error}", path.display()))
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(unavailable)?;
        match try_lock(&file) {
            // Without room on the disk nobody is named, and the lock holds all the same.
            Ok(()) => {
                if let Err(error) = sign(&file) {
                    tracing::warn!(%error, file = %path.display(), "cannot write into the lock file who holds it");
                }
                Ok(ServerLock { _file: file })
            }
            Err(TryLockError::WouldBlock) => Err(JournalError::Unavailable(format!(
                "another process serves {}{}; stop it, or choose another file",
                journal.display(),
                holder(file)
            ))),
            Err(TryLockError::Error(error)) => Err(unavailable(error)),
        }
    }
}

fn this_process() -> String {
    let host = sysinfo::System::host_name().unwrap_or_else(|| "unknown".to_owned());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let since = Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    format!("pid {} on {host} since {since}\n", std::process::id())
}

/// What the lock file says of its holder, in brackets; nothing if several share the journal.
fn holder(mut file: File) -> String {
    let mut text = String::new();
    let read = Read::by_ref(&mut file).take(512).read_to_string(&mut text);
    match text.lines().next() {
        Some(line) if read.is_ok() => format!(" ({line})"),
        Some(_) | None => String::new(),
    }
}
