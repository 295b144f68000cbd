//! What waits for people, and the notices that tell them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use boathouse_core::ids::{RunId, Timestamp};

use crate::journal::{Notice, OpenWait, People, WaitPlace, WaitQuery};

/// Open waits and notices, in the orders in which they are asked for.
#[derive(Debug, Default)]
pub(super) struct PeopleTables {
    waits: BTreeMap<WaitPlace, OpenWait>,
    by_run: HashMap<RunId, Vec<WaitPlace>>,
    expiries: BTreeSet<(Timestamp, RunId)>,
    notices: HashMap<String, Notice>,
    /// By the time of the next attempt.
    notices_by_time: BTreeSet<(Timestamp, String)>,
}

impl PeopleTables {
    pub(super) fn keep(&mut self, run: &RunId, people: People) {
        if let Some(waits) = people.waits {
            self.forget(run);
            for wait in waits {
                let place = wait.place();
                if let Some(at) = wait.what.expires_at() {
                    self.expiries.insert((at, run.clone()));
                }
                self.by_run.entry(run.clone()).or_default().push(place.clone());
                self.waits.insert(place, wait);
            }
        }
        for notice in people.notices {
            self.notices_by_time.insert((notice.next_at, notice.id.clone()));
            self.notices.insert(notice.id.clone(), notice);
        }
    }

    /// Forgets what a run waits for.
    pub(super) fn forget(&mut self, run: &RunId) {
        for place in self.by_run.remove(run).into_iter().flatten() {
            if let Some(at) = self.waits.remove(&place).and_then(|wait| wait.what.expires_at()) {
                self.expiries.remove(&(at, run.clone()));
            }
        }
    }

    pub(super) fn waits(&self, query: &WaitQuery) -> Vec<OpenWait> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = query.after.as_ref().map_or(Unbounded, Excluded);
        let waits = self.waits.range((from, Unbounded)).map(|(_, wait)| wait);
        waits.filter(|wait| wait.fits(query)).take(query.limit).cloned().collect()
    }

    pub(super) fn expiries(&self) -> impl Iterator<Item = &(Timestamp, RunId)> {
        self.expiries.iter()
    }

    pub(super) fn outbox(&self, except: &[&str], limit: usize) -> Vec<Notice> {
        let notices = self.notices_by_time.iter().filter_map(|(_, id)| self.notices.get(id));
        let notices = notices.filter(|notice| !except.contains(&notice.url.as_str()));
        notices.take(limit).cloned().collect()
    }

    pub(super) fn settle_notice(&mut self, id: &str, again: Option<Timestamp>) {
        let Some(mut notice) = self.notices.remove(id) else { return };
        self.notices_by_time.remove(&(notice.next_at, notice.id.clone()));
        if let Some(next_at) = again {
            notice.attempts += 1;
            notice.next_at = next_at;
            self.notices_by_time.insert((next_at, notice.id.clone()));
            self.notices.insert(notice.id.clone(), notice);
        }
    }

    pub(super) fn trim_outbox(&mut self, keep: usize) -> usize {
        let many = self.notices.len().saturating_sub(keep);
        if many > 0 {
            let mut oldest: Vec<(Timestamp, String)> =
                self.notices.values().map(|notice| (notice.at, notice.id.clone())).collect();
            oldest.sort_unstable();
            oldest[..many].iter().for_each(|(_, id)| self.settle_notice(id, None));
        }
        many
    }
}
