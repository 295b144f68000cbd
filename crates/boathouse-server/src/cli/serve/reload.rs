//! Changes of crews while they are served: a valid one counts for new runs, an invalid one is told and left out.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use boathouse::core::crew::check::{Catalog, hash};
use boathouse::crew_dir;
use boathouse::engine::Engine;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::crews::{self, Read};
use crate::cli::paint;

/// How often folders are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// A folder whose crew is served.
pub(super) struct Folder {
    dir: PathBuf,
    name: String,
    /// The hash of the files that were looked at last, served or not.
    known: String,
    /// Another hash, seen once. Only what stays the same for two looks counts: an editor may be at work.
    seen: Option<String>,
}

impl Folder {
    /// A folder whose crew is served under this name, with this hash.
    pub(super) fn new(dir: &Path, name: &str, hash: &str) -> Folder {
        Folder { dir: dir.to_owned(), name: name.to_owned(), known: hash.to_owned(), seen: None }
    }
}

/// Looks at the folders until the future is dropped.
pub(super) async fn follow(engine: &Engine, mut folders: Vec<Folder>, catalog: &Catalog) -> Infallible {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for folder in &mut folders {
            folder.look(engine, catalog).await;
        }
    }
}

impl Folder {
    async fn look(&mut self, engine: &Engine, catalog: &Catalog) {
        let dir = self.dir.clone();
        let Ok(now) = spawn_blocking(move || hash(&crew_dir::read(&dir).0)).await else { return };
        if now == self.known {
            self.seen = None;
        } else if self.seen.as_ref() == Some(&now) {
            self.known = now;
            self.seen = None;
            self.take(engine, catalog).await;
        } else {
            self.seen = Some(now);
        }
    }

    /// Serves what is in the folder now, if it can run.
    async fn take(&mut self, engine: &Engine, catalog: &Catalog) {
        let (dir, catalog) = (self.dir.clone(), catalog.clone());
        let Ok(Read { crew, problems }) = spawn_blocking(move || crews::read(&dir, &catalog)).await else {
            return;
        };
        crews::tell(&problems);
        let name = &self.name;
        match crew {
            None => paint::warn(format!("crew {name} has errors: its version before is served")),
            Some(loaded) if loaded.crew.name != *name => {
                let new = &loaded.crew.name;
                paint::warn(format!("crew {name} is now named `{new}`: its version before is served"));
                paint::hint("start the server again to serve it under its new name");
            }
            Some(loaded) => {
                // Should the files have changed once more, the next look sees it.
                self.known = loaded.crew.hash.to_string();
                match engine.add_crew(loaded).await {
                    Ok(_) => paint::note(format!("crew {name} has changed: new runs take its new version")),
                    Err(error) => {
                        paint::warn(format!("crew {name} has changed, but cannot be kept: {error}"))
                    }
                }
            }
        }
    }
}
