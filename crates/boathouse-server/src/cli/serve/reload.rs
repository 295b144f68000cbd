//! Changes of crews while they are served: a valid one counts for new runs, an invalid one is told and left out.
//!
//! Folders are looked at, not listened to: a look reads the files and compares what they hold. So whatever a change
//! came from is noticed alike: a save in place, a rename over the file, a symbolic link that points elsewhere, a network
//! or container mount that tells nobody. A crew is a handful of small files, and a look costs less than a millisecond.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use boathouse::core::crew::Source;
use boathouse::core::crew::check::{CREW_FILE, Catalog};
use boathouse::core::crew::problem::{Code, Problem, Severity, count};
use boathouse::crew_dir::{self, Loaded};
use boathouse::engine::Engine;
use boathouse_server::versions::Versions;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::crews::{self, Read};
use crate::cli::paint;

/// How often folders are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// The files of a folder, and what could not be read of them.
type Files = (Source, Vec<Problem>);

/// A folder whose crew is served.
pub(super) struct Folder {
    dir: PathBuf,
    name: String,
    /// The files that were dealt with last, served or not; `None` if they have to be dealt with again.
    known: Option<Files>,
    /// Other files, seen once. Only what stays the same for two looks counts: an editor may be at work.
    seen: Option<Files>,
}

impl Folder {
    /// A folder whose crew is served.
    pub(super) fn new(dir: &Path, loaded: &Loaded) -> Folder {
        let (name, source) = (loaded.crew.name.clone(), loaded.crew.source.clone());
        Folder { dir: dir.to_owned(), name, known: Some((source, Vec::new())), seen: None }
    }
}

/// Looks at the folders until the future is dropped. What is read and checked never holds up a request.
pub(super) async fn follow(
    engine: &Engine,
    versions: &Versions,
    mut folders: Vec<Folder>,
    catalog: &Catalog,
) -> Infallible {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for folder in &mut folders {
            folder.look(engine, versions, catalog).await;
        }
    }
}

impl Folder {
    async fn look(&mut self, engine: &Engine, versions: &Versions, catalog: &Catalog) {
        let dir = self.dir.clone();
        let Ok(now) = spawn_blocking(move || crew_dir::read(&dir)).await else { return };
        if self.known.as_ref() == Some(&now) {
            self.seen = None;
        } else if self.seen.as_ref() == Some(&now) {
            self.seen = None;
            self.known = Some(now.clone());
            self.take(engine, versions, catalog, now).await;
        } else {
            self.seen = Some(now);
        }
    }

    /// Serves these files, if they can run.
    async fn take(&mut self, engine: &Engine, versions: &Versions, catalog: &Catalog, files: Files) {
        let (dir, catalog) = (self.dir.clone(), catalog.clone());
        let name = &self.name;
        let checked = spawn_blocking(move || crews::check(&dir, files, &catalog)).await;
        let Ok(Read { crew, problems }) = checked else {
            paint::warn(format!(
                "crew {name} has changed, but its check failed: its version before is served"
            ));
            return;
        };
        match crew {
            None => {
                crews::tell(&problems);
                paint::warn(format!("crew {name} has {}: its version before is served", count(&problems)));
                versions.refused(name, problems);
            }
            Some(loaded) if loaded.crew.name != *name => {
                let message =
                    format!("crew {name} is now named `{}`: its version before is served", loaded.crew.name);
                let hint = "start the server again to serve it under its new name";
                paint::warn(&message);
                paint::hint(hint);
                let file = self.dir.join(CREW_FILE).display().to_string();
                let hint = Some(hint.to_owned());
                let renamed = Problem::of_file(Severity::Error, Code::Renamed, file, message, hint);
                versions.refused(name, vec![renamed]);
            }
            Some(loaded) if engine.crew(name).is_some_and(|served| served.hash == loaded.crew.hash) => {
                if versions.of(name).problems.iter().any(Problem::is_error) {
                    paint::note(format!("crew {name} is again as it is served"));
                }
                versions.loaded(name, &loaded.crew.hash, problems);
            }
            Some(loaded) => match engine.add_crew(loaded).await {
                Ok(crew) => {
                    crews::tell(&problems);
                    versions.loaded(name, &crew.hash, problems);
                    paint::note(format!("crew {name} has changed: new runs take its new version"));
                }
                Err(error) => {
                    paint::warn(format!(
                        "crew {name} has changed, but cannot be kept; trying again: {error}"
                    ));
                    self.known = None;
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot write its files fails")]

    use super::*;
    use crate::cli::setup::{JournalChoice, Keeping, Parts};

    const CREW: &str = "name: desk\nagents: [{id: a, model: any, system_prompt: x, is_terminal: true}]\n";

    #[tokio::test]
    async fn a_file_that_is_being_written_is_not_judged() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(CREW_FILE);
        std::fs::write(&file, CREW).unwrap();
        let Ok(parts) = Parts::new(Some("scripted")) else { panic!("there is a scripted model") };
        let catalog = parts.catalog();
        let Ok(loaded) = crews::load(dir.path(), &catalog) else { panic!("the crew is sound") };
        let (mut folder, versions) = (Folder::new(dir.path(), &loaded), Versions::default());
        versions.loaded("desk", &loaded.crew.hash, Vec::new());
        let started = parts.start(&JournalChoice::Memory, Keeping::default(), vec![loaded]).await;
        let Ok(engine) = started else { panic!("memory is always there") };
        let told = || (versions.of("desk").versions.len(), versions.of("desk").problems.len());

        std::fs::write(&file, "name: desk\nagents: [{id: a, mod").unwrap();
        folder.look(&engine, &versions, &catalog).await;
        std::fs::write(&file, format!("{CREW}description: nearly\n")).unwrap();
        folder.look(&engine, &versions, &catalog).await;
        std::fs::write(&file, format!("{CREW}description: whole\n")).unwrap();
        folder.look(&engine, &versions, &catalog).await;
        assert_eq!(told(), (1, 0), "no two looks saw the same");
        folder.look(&engine, &versions, &catalog).await;
        assert_eq!(told(), (2, 0));
        assert_eq!(engine.crew("desk").unwrap().description, "whole");

        std::fs::write(&file, "name: desk\nagents: [{id: a, mod").unwrap();
        folder.look(&engine, &versions, &catalog).await;
        folder.look(&engine, &versions, &catalog).await;
        assert_eq!(versions.of("desk").versions.len(), 2);
        assert!(versions.of("desk").problems.iter().any(Problem::is_error), "what stays is judged");
        engine.shutdown(Duration::ZERO).await;
    }
}
