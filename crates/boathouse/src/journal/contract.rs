//! What every journal must do, as checks that any implementation can be put through.
//!
//! ```no_run
//! # async fn example() {
//! use std::sync::Arc;
//! use boathouse::journal::{Journal, MemoryJournal, contract};
//! contract::check_all(async || Arc::new(MemoryJournal::new()) as Arc<dyn Journal>).await;
//! # }
//! ```
//!
//! A check panics with a message that names what was broken. Each check gets an empty journal of its own.
#![expect(clippy::unwrap_used, reason = "a check reports by panicking")]

use std::sync::Arc;

use super::Journal;

mod fence;
mod lists;
mod log;
mod people;
mod requests;
mod retention;
mod samples;
mod threads;
mod writers;

pub use fence::*;
pub use lists::*;
pub use log::*;
pub use people::*;
pub use requests::*;
pub use retention::*;
pub use samples::{append, new_run, replied, started};
pub use threads::*;
pub use writers::*;

/// Runs every check, one after the other. `make` gives a new, empty journal each time.
///
/// # Panics
///
/// When the journal breaks the contract.
pub async fn check_all(make: impl AsyncFn() -> Arc<dyn Journal>) {
    events_come_back_in_order_and_byte_for_byte(make().await).await;
    reading_pages(make().await).await;
    the_row_follows_the_log(make().await).await;
    malformed_events_are_refused(make().await).await;

    a_run_is_created_once(make().await).await;
    a_wrong_seq_is_a_conflict(make().await).await;
    a_claim_voids_older_leases(make().await).await;
    a_lease_is_its_epoch_and_its_id(make().await).await;
    unknown_runs_are_told(make().await).await;

    runs_are_listed_newest_first(make().await).await;
    runs_are_filtered(make().await).await;
    pages_of_runs_join_without_gap(make().await).await;
    unfinished_runs_come_oldest_first(make().await).await;

    a_request_starts_one_run(make().await).await;
    a_request_is_kept_with_its_events(make().await).await;

    runs_of_a_thread_take_turns(make().await).await;
    a_run_begins_with_what_the_thread_has_then(make().await).await;
    queued_runs_keep_their_order(make().await).await;
    queues_have_an_end(make().await).await;
    a_thread_named_after_a_run_waits_for_it(make().await).await;
    threads_are_listed_newest_first(make().await).await;
    a_deleted_thread_stays_for_those_who_began_on_it(make().await).await;
    threads_without_runs_go_when_they_are_old(make().await).await;

    waits_are_kept_with_their_events(make().await).await;
    waits_are_listed_oldest_first_and_filtered(make().await).await;
    expiries_of_paused_runs_come_soonest_first(make().await).await;
    notices_are_kept_with_their_events_until_they_are_settled(make().await).await;

    appends_to_many_runs_do_not_mix(make().await).await;
    of_appends_to_one_run_exactly_one_wins(make().await).await;
    of_creates_of_one_run_exactly_one_wins(make().await).await;
    a_conflict_fails_only_its_own_run(make().await).await;
    a_dropped_append_happens_whole_or_not_at_all(make().await).await;

    a_deleted_run_is_gone(make().await).await;
    crews_are_kept_by_hash(make().await).await;
    crews_that_no_run_uses_can_go(make().await).await;
    of_ended_runs_the_oldest_go_and_live_ones_stay(make().await).await;
    a_closed_journal_says_so(make().await).await;
}
