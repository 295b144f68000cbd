//! Journals: the contract, and what each implementation promises beyond it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use boathouse::core::ids::{RunId, Seq};
use boathouse::core::run::event::RunState;
use boathouse::journal::contract::{self, append, new_run, replied};
use boathouse::journal::{Append, Journal, MemoryJournal, NewRun, RunQuery};

mod memory {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_contract() {
        contract::check_all(async || Arc::new(MemoryJournal::new()) as Arc<dyn Journal>).await;
    }

    async fn run_to_end(journal: &MemoryJournal, run: &str) {
        let lease = journal.create(new_run(run)).await.unwrap();
        let end = Append { state: RunState::Completed, ..append(run, lease, vec![replied(2, "bye")]) };
        journal.append(end).await.unwrap();
    }

    async fn kept(journal: &MemoryJournal) -> Vec<String> {
        let query = RunQuery { limit: usize::MAX, ..RunQuery::default() };
        let mut runs: Vec<_> =
            journal.runs(&query).await.unwrap().into_iter().map(|row| row.run.to_string()).collect();
        runs.sort();
        runs
    }

    #[tokio::test]
    async fn forgets_the_runs_that_ended_first_and_never_a_live_one() {
        let journal = MemoryJournal::keeping(2);
        let live = journal.create(new_run("live")).await.unwrap();
        journal.create(NewRun { state: RunState::Paused, ..new_run("paused") }).await.unwrap();
        for run in ["z", "y", "x", "w"] {
            run_to_end(&journal, run).await;
        }
        assert_eq!(kept(&journal).await, ["live", "paused", "w", "x"]);
        assert_eq!(journal.read(&RunId::from("z"), Seq(0), 10).await.unwrap(), []);
        assert_eq!(journal.read(&RunId::from("x"), Seq(0), 10).await.unwrap().len(), 2);

        let end = Append { state: RunState::Failed, ..append("live", live, vec![replied(2, "bye")]) };
        journal.append(end).await.unwrap();
        assert_eq!(kept(&journal).await, ["live", "paused", "w"], "what ended last stays, however old it is");
    }

    #[tokio::test]
    async fn a_run_that_goes_on_again_is_live_again() {
        let journal = MemoryJournal::keeping(1);
        run_to_end(&journal, "again").await;
        let (lease, _) = journal.claim(&RunId::from("again")).await.unwrap();
        journal.append(append("again", lease, vec![replied(3, "once more")])).await.unwrap();
        run_to_end(&journal, "a").await;
        run_to_end(&journal, "b").await;
        assert_eq!(kept(&journal).await, ["again", "b"]);
    }

    #[tokio::test]
    async fn deleted_runs_do_not_count_as_kept() {
        let journal = MemoryJournal::keeping(2);
        run_to_end(&journal, "a").await;
        run_to_end(&journal, "b").await;
        journal.delete(&RunId::from("b")).await.unwrap();
        run_to_end(&journal, "c").await;
        assert_eq!(kept(&journal).await, ["a", "c"]);
    }

    #[tokio::test]
    async fn crews_that_no_run_uses_are_bounded() {
        let journal = MemoryJournal::new();
        journal.put_crew("used", "name: used").await.unwrap();
        journal.create(NewRun { crew_hash: "used".into(), ..new_run("a") }).await.unwrap();
        for version in 0..5_000 {
            journal.put_crew(&format!("h{version}"), "name: edited").await.unwrap();
        }
        assert_eq!(journal.crew("used").await.unwrap().as_deref(), Some("name: used"));
        assert_eq!(journal.crew("h4999").await.unwrap().as_deref(), Some("name: edited"));
        assert_eq!(journal.crew("h0").await.unwrap(), None);
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use boathouse::journal::SqliteJournal;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let number = std::sync::atomic::AtomicU32::new(0);
        contract::check_all(async || {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Arc::new(SqliteJournal::open(folder.path().join(format!("{number}.db"))).await.unwrap())
                as Arc<dyn Journal>
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_contract_when_the_file_is_shared() {
        let folder = tempfile::tempdir().unwrap();
        let number = std::sync::atomic::AtomicU32::new(0);
        contract::check_all(async || {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = folder.path().join(format!("{number}.db"));
            Arc::new(SqliteJournal::open_shared(path).await.unwrap()) as Arc<dyn Journal>
        })
        .await;
    }
}
