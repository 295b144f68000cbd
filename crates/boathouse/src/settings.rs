//! What may change while runs are running: the engine's settings and the crews that it serves.
//!
//! All of it is one immutable value. A run takes the value once, at its start, and so never sees half a change; a
//! change makes another value and never waits for a reader or a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use boathouse_core::crew::Crew;
use boathouse_core::ids::AgentId;

/// The settings at one moment.
#[derive(Clone, Debug, Default)]
pub struct LiveSettings {
    /// Whether runs are logged in full.
    pub verbose: bool,
    /// Where runs start that do not say it themselves; `None` for their crew's entry.
    pub start_agent: Option<AgentId>,
    /// The crews that are served.
    pub crews: Crews,
}

/// Crews by name, in the order in which they were first added.
#[derive(Clone, Debug, Default)]
pub struct Crews {
    in_order: Vec<Arc<Crew>>,
    by_name: BTreeMap<String, usize>,
}

impl Crews {
    /// Finds a crew by name.
    pub fn get(&self, name: &str) -> Option<&Arc<Crew>> {
        self.by_name.get(name).and_then(|&index| self.in_order.get(index))
    }

    /// The crews in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Crew>> {
        self.in_order.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.in_order.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    /// Adds a crew; one of the same name is replaced in its place, and given back.
    pub fn insert(&mut self, crew: Arc<Crew>) -> Option<Arc<Crew>> {
        match self.by_name.get(&crew.name).and_then(|&index| self.in_order.get_mut(index)) {
            Some(place) => Some(std::mem::replace(place, crew)),
            None => {
                self.by_name.insert(crew.name.clone(), self.in_order.len());
                self.in_order.push(crew);
                None
            }
        }
    }

    /// Takes a crew out, and gives it back.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Crew>> {
        let index = self.by_name.remove(name)?;
        for place in self.by_name.values_mut().filter(|place| **place > index) {
            *place -= 1;
        }
        Some(self.in_order.remove(index))
    }
}

/// The settings that all share. Readers and writers never wait for each other.
#[derive(Default)]
pub struct SharedSettings {
    current: cell::Current,
}

impl SharedSettings {
    /// Settings to begin with.
    pub fn new(settings: LiveSettings) -> SharedSettings {
        SharedSettings { current: cell::Current::new(Arc::new(settings)) }
    }

    /// The settings now, to keep as long as needed. Never blocks.
    pub fn load(&self) -> Arc<LiveSettings> {
        self.current.load()
    }

    /// Looks at the settings now, all of one moment; cheaper than [`SharedSettings::load`]. Never blocks.
    pub fn read<T>(&self, look: impl FnOnce(&LiveSettings) -> T) -> T {
        self.current.read(look)
    }

    /// Changes the settings; readers see all of the change or nothing of it, and no other change is lost.
    ///
    /// `change` is called again, on the newer value, if somebody else's change came first.
    pub fn update(&self, mut change: impl FnMut(&mut LiveSettings)) {
        let mut seen = self.current.load();
        loop {
            let mut next = LiveSettings::clone(&seen);
            change(&mut next);
            match self.current.replace(&seen, Arc::new(next)) {
                Ok(()) => return,
                Err(newer) => seen = newer,
            }
        }
    }

    /// Whether runs are logged in full.
    pub fn verbose(&self) -> bool {
        self.read(|settings| settings.verbose)
    }

    /// Says whether runs are logged in full, from the next run on.
    pub fn set_verbose(&self, verbose: bool) {
        self.update(|settings| settings.verbose = verbose);
    }

    /// Where runs start that do not say it themselves.
    pub fn start_agent(&self) -> Option<AgentId> {
        self.read(|settings| settings.start_agent.clone())
    }

    /// New runs start at this agent, unless they name one.
    pub fn set_start_agent(&self, agent: AgentId) {
        self.update(|settings| settings.start_agent = Some(agent.clone()));
    }

    /// New runs start at their crew's entry again.
    pub fn clear_start_agent(&self) {
        self.update(|settings| settings.start_agent = None);
    }

    /// Finds a crew by name.
    pub fn crew(&self, name: &str) -> Option<Arc<Crew>> {
        self.read(|settings| settings.crews.get(name).cloned())
    }

    /// The crews in their order.
    pub fn crews(&self) -> Vec<Arc<Crew>> {
        self.read(|settings| settings.crews.iter().cloned().collect())
    }

    /// Serves a crew; one of the same name is replaced for new runs, and given back.
    pub fn add_crew(&self, crew: Arc<Crew>) -> Option<Arc<Crew>> {
        let mut before = None;
        self.update(|settings| before = settings.crews.insert(crew.clone()));
        before
    }

    /// Serves a crew no longer: runs that began keep it. Gives it back.
    pub fn remove_crew(&self, name: &str) -> Option<Arc<Crew>> {
        let mut before = None;
        self.update(|settings| before = settings.crews.remove(name));
        before
    }
}

/// The value that is swapped: reading it and replacing it if it is still the one that was seen.
#[cfg(not(feature = "model-check"))]
mod cell {
    use std::sync::Arc;

    use arc_swap::ArcSwap;

    use super::LiveSettings;

    #[derive(Default)]
    pub(super) struct Current(ArcSwap<LiveSettings>);

    impl Current {
        pub(super) fn new(settings: Arc<LiveSettings>) -> Current {
            Current(ArcSwap::new(settings))
        }

        pub(super) fn load(&self) -> Arc<LiveSettings> {
            self.0.load_full()
        }

        pub(super) fn read<T>(&self, look: impl FnOnce(&LiveSettings) -> T) -> T {
            look(&self.0.load())
        }

        pub(super) fn replace(
            &self,
            seen: &Arc<LiveSettings>,
            next: Arc<LiveSettings>,
        ) -> Result<(), Arc<LiveSettings>> {
            let before = self.0.compare_and_swap(seen, next);
            if Arc::ptr_eq(&before, seen) { Ok(()) } else { Err(arc_swap::Guard::into_inner(before)) }
        }
    }
}

/// The interleaving checker cannot look into `arc-swap`, so it is given the same two atomic steps over its own lock.
/// What it checks is how they are put together in `SharedSettings::update`: that no change is lost and none is seen
/// by half. That each step is atomic is the promise of `arc-swap`.
#[cfg(feature = "model-check")]
mod cell {
    use std::sync::{Arc, PoisonError};

    use super::LiveSettings;
    use crate::sync::Mutex;

    #[derive(Default)]
    pub(super) struct Current(Mutex<Arc<LiveSettings>>);

    impl Current {
        pub(super) fn new(settings: Arc<LiveSettings>) -> Current {
            Current(Mutex::new(settings))
        }

        pub(super) fn load(&self) -> Arc<LiveSettings> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }

        pub(super) fn read<T>(&self, look: impl FnOnce(&LiveSettings) -> T) -> T {
            look(&self.load())
        }

        pub(super) fn replace(
            &self,
            seen: &Arc<LiveSettings>,
            next: Arc<LiveSettings>,
        ) -> Result<(), Arc<LiveSettings>> {
            let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&current, seen) {
                *current = next;
                Ok(())
            } else {
                Err(current.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests;
