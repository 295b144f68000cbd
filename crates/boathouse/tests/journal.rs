//! Journals: the contract, and what each implementation promises beyond it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use boathouse::core::ids::{RunId, Seq};
use boathouse::core::run::event::RunState;
use boathouse::journal::contract::{self, append, new_run, replied};
use boathouse::journal::{Append, Journal, MemoryJournal, NewRun, RunQuery};

/// Longer than any test.
#[cfg(feature = "sqlite")]
const LEASE: std::time::Duration = std::time::Duration::from_secs(600);

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
        journal.put_crew("used", "name: used", None).await.unwrap();
        journal.create(NewRun { crew_hash: "used".into(), ..new_run("a") }).await.unwrap();
        for version in 0..5_000 {
            journal.put_crew(&format!("h{version}"), "name: edited", None).await.unwrap();
        }
        assert_eq!(
            journal.crew("used").await.unwrap().map(|kept| kept.source).as_deref(),
            Some("name: used")
        );
        assert_eq!(
            journal.crew("h4999").await.unwrap().map(|kept| kept.source).as_deref(),
            Some("name: edited")
        );
        assert_eq!(journal.crew("h0").await.unwrap(), None);
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Write};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use boathouse::core::run::event::Event;
    use boathouse::journal::{JournalError, SqliteJournal};
    use sqlx::{Connection, SqliteConnection};

    use super::*;

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
            Arc::new(SqliteJournal::open_shared(path, LEASE).await.unwrap()) as Arc<dyn Journal>
        })
        .await;
    }

    async fn other_connection(path: &Path) -> SqliteConnection {
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap()
    }

    /// A process that was heard at this time, in milliseconds since 1970, and not since.
    async fn not_heard_since(path: &Path, at: i64) {
        let mut other = other_connection(path).await;
        sqlx::query("UPDATE processes SET beat_at = $1").bind(at).execute(&mut other).await.unwrap();
    }

    #[tokio::test]
    async fn a_clock_that_jumps_back_holds_no_run_for_longer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let one = SqliteJournal::open_shared(&path, LEASE).await.unwrap();
        let two = SqliteJournal::open_shared(&path, LEASE).await.unwrap();
        let run = RunId::from("a");
        one.create(new_run("a")).await.unwrap();
        // Last heard when the clock said tomorrow.
        not_heard_since(&path, i64::MAX / 2).await;
        assert_eq!(two.unfinished().await.unwrap(), std::slice::from_ref(&run));
        one.beat().await.unwrap();
        assert_eq!(two.unfinished().await.unwrap(), []);
        one.close().await;
        two.claim(&run).await.unwrap();
    }

    async fn texts(journal: &dyn Journal, run: &str) -> Vec<String> {
        let events = journal.read(&RunId::from(run), Seq(1), usize::MAX).await.unwrap();
        let text = |event: Arc<boathouse::journal::Stored>| match &event.recorded.event {
            Event::ModelReplied { reply, .. } => reply.text.clone(),
            other => panic!("not a reply: {other:?}"),
        };
        events.into_iter().map(text).collect()
    }

    #[tokio::test]
    async fn runs_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let journal = SqliteJournal::open(&path).await.unwrap();
        journal.put_crew("sha256:contract", "name: contract\n", None).await.unwrap();
        journal.put_crew("unused", "name: edited\n", None).await.unwrap();
        let lease = journal.create(new_run("a")).await.unwrap();
        journal.append(append("a", lease, vec![replied(2, "before")])).await.unwrap();
        let row = journal.run(&RunId::from("a")).await.unwrap();
        journal.close().await;

        let journal = SqliteJournal::open(&path).await.unwrap();
        assert!(journal.is_durable());
        assert_eq!(journal.run(&RunId::from("a")).await.unwrap(), row);
        assert_eq!(journal.unfinished().await.unwrap(), [RunId::from("a")]);
        assert_eq!(
            journal.crew("sha256:contract").await.unwrap().map(|kept| kept.source).as_deref(),
            Some("name: contract\n")
        );
        assert_eq!(journal.crew("unused").await.unwrap(), None, "sources that no run uses go at the start");
        let (newer, claimed) = journal.claim(&RunId::from("a")).await.unwrap();
        assert_eq!(newer.epoch, lease.epoch + 1);
        assert_eq!(Some(claimed), row);
        let late = journal.append(append("a", lease, vec![replied(3, "late")])).await;
        assert!(matches!(late, Err(JournalError::Conflict(_))), "{late:?}");
        journal.append(append("a", newer, vec![replied(3, "after")])).await.unwrap();
        assert_eq!(texts(&journal, "a").await, ["before", "after"]);
    }

    #[tokio::test]
    async fn closing_finishes_what_was_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let journal = SqliteJournal::open(&path).await.unwrap();
        let mut appends = Vec::new();
        for number in 0..50 {
            let run = format!("run-{number}");
            let lease = journal.create(new_run(&run)).await.unwrap();
            appends.push(journal.append(append(&run, lease, vec![replied(2, "last words")])));
        }
        let (written, ()) = tokio::join!(futures_util::future::join_all(appends), journal.close());
        for result in written {
            result.unwrap();
        }
        let journal = SqliteJournal::open(&path).await.unwrap();
        for number in 0..50 {
            assert_eq!(texts(&journal, &format!("run-{number}")).await, ["last words"]);
        }
    }

    /// The test starts itself again as the process that is killed.
    #[test]
    fn what_was_acknowledged_survives_a_kill() {
        const PATH: &str = "BOATHOUSE_TEST_JOURNAL";
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        if let Ok(path) = std::env::var(PATH) {
            runtime.block_on(write_until_killed(Path::new(&path)));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        for acknowledgements in [1, 40, 300] {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "sqlite::what_was_acknowledged_survives_a_kill", "--nocapture"])
                .env(PATH, &path)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
            let mut note = |line: String| {
                if let Some((run, seq)) = line.strip_prefix("ACK ").and_then(|line| line.split_once(' ')) {
                    acknowledged.insert(run.to_owned(), seq.parse().unwrap());
                    true
                } else {
                    false
                }
            };
            let mut seen = 0;
            while seen < acknowledgements {
                seen += u32::from(note(lines.next().expect("the child writes until it is killed").unwrap()));
            }
            let refused = runtime.block_on(SqliteJournal::open(&path));
            let why = refused.expect_err("the child serves the file").to_string();
            assert!(why.contains("another process serves") && why.contains("a.db"), "{why}");
            child.kill().unwrap();
            child.wait().unwrap();
            // A line that the kill cut short is no acknowledgement.
            for line in lines.map_while(Result::ok) {
                note(line);
            }

            runtime.block_on(async {
                let journal = SqliteJournal::open(&path).await.unwrap();
                for (run, seq) in &acknowledged {
                    let row = journal.run(&RunId::from(run.as_str())).await.unwrap().unwrap();
                    assert!(row.seq.0 >= *seq, "event {seq} of {run} was acknowledged");
                    let expected: Vec<_> = (2..=row.seq.0).map(|seq| format!("{run} says {seq}")).collect();
                    assert_eq!(texts(&journal, run).await, expected, "the log of {run} is whole");
                }
                journal.close().await;
            });
        }
    }

    async fn write_until_killed(path: &Path) {
        let journal = Arc::new(SqliteJournal::open(path).await.unwrap());
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let journal = journal.clone();
            writers.spawn(async move {
                let run = format!("{}-{writer}", std::process::id());
                let acknowledge = |seq: u64| {
                    let line = format!("ACK {run} {seq}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                };
                let lease = journal.create(new_run(&run)).await.unwrap();
                acknowledge(1);
                for seq in 2.. {
                    let event = replied(seq, &format!("{run} says {seq}"));
                    journal.append(append(&run, lease, vec![event])).await.unwrap();
                    acknowledge(seq);
                }
            });
        }
        while writers.join_next().await.is_some() {}
    }

    #[tokio::test]
    async fn two_servers_do_not_get_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let first = SqliteJournal::open(&path).await.unwrap();
        std::os::unix::fs::symlink(&path, folder.path().join("alias.db")).unwrap();
        for name in ["a.db", "alias.db"] {
            let refused = SqliteJournal::open(folder.path().join(name)).await;
            let why = refused.expect_err("the file is served").to_string();
            assert!(why.contains("another process serves") && why.contains("a.db"), "{why}");
            let holder = format!("(pid {} on ", std::process::id());
            assert!(
                why.contains(&holder) && why.contains(" since 20"),
                "who serves it, and since when: {why}"
            );
        }
        let refused =
            SqliteJournal::open_shared(&path, LEASE).await.expect_err("it is not shared").to_string();
        assert!(refused.contains("another process serves"), "{refused}");
        first.close().await;
        SqliteJournal::open(&path).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_fence_holds_between_two_that_write_to_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let one = SqliteJournal::open_shared(&path, LEASE).await.unwrap();
        let two = SqliteJournal::open_shared(&path, LEASE).await.unwrap();
        let run = RunId::from("a");
        let old = one.create(new_run("a")).await.unwrap();
        let refused = two.claim(&run).await;
        assert!(matches!(refused, Err(JournalError::Held(_))), "{refused:?}");
        assert_eq!(two.unfinished().await.unwrap(), []);
        not_heard_since(&path, 0).await;
        assert_eq!(two.unfinished().await.unwrap(), ["a".into()]);
        let (lease, _) = two.claim(&run).await.unwrap();
        let late = one.append(append("a", old, vec![replied(2, "late")])).await;
        assert!(matches!(late, Err(JournalError::Conflict(_))), "{late:?}");

        let mut expected = Vec::new();
        for seq in 2..30 {
            let (left, right) = tokio::join!(
                one.append(append("a", lease, vec![replied(seq, "one")])),
                two.append(append("a", lease, vec![replied(seq, "two")])),
            );
            expected.push(match (left, right) {
                (Ok(()), Err(JournalError::Conflict(_))) => "one",
                (Err(JournalError::Conflict(_)), Ok(())) => "two",
                both => panic!("exactly one must win: {both:?}"),
            });
        }
        assert_eq!(texts(&one, "a").await, expected);
        assert_eq!(texts(&two, "a").await, expected);

        not_heard_since(&path, 0).await;
        let ((left, _), (right, _)) =
            tokio::try_join!(one.claim(&run), two.claim(&run)).expect("both may claim, one after the other");
        assert_ne!(left.epoch, right.epoch);
        let (newer, older) = if left.epoch > right.epoch { (left, right) } else { (right, left) };
        let late = one.append(append("a", older, vec![replied(30, "late")])).await;
        assert!(matches!(late, Err(JournalError::Conflict(_))), "{late:?}");
        two.append(append("a", newer, vec![replied(30, "newest")])).await.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_event_is_reported_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let journal = SqliteJournal::open_shared(&path, LEASE).await.unwrap();
        let lease = journal.create(new_run("a")).await.unwrap();
        journal.append(append("a", lease, (2..=4).map(|seq| replied(seq, "x")).collect())).await.unwrap();
        let mut other = other_connection(&path).await;
        for (damage, place) in [
            ("UPDATE events SET json = '{\"seq\":2' WHERE seq = 2", "event 2 of run a"),
            ("UPDATE events SET json = CAST(X'ff' AS TEXT) WHERE seq = 2", "event 2 of run a"),
            ("DELETE FROM events WHERE seq = 2", "event 2 should be"),
        ] {
            sqlx::raw_sql(damage).execute(&mut other).await.unwrap();
            let read = journal.read(&RunId::from("a"), Seq(0), 10).await;
            let Err(JournalError::Corrupt(why)) = read else { panic!("{damage}: {read:?}") };
            assert!(why.contains(place), "{damage}: {why}");
            assert_eq!(
                journal.read(&RunId::from("a"), Seq(2), 10).await.unwrap().len(),
                2,
                "the rest is there"
            );
        }
        sqlx::raw_sql("UPDATE runs SET state = 'asleep'").execute(&mut other).await.unwrap();
        let read = journal.run(&RunId::from("a")).await;
        assert!(matches!(read, Err(JournalError::Corrupt(ref why)) if why.contains("asleep")), "{read:?}");
    }

    #[tokio::test]
    async fn the_writer_works_again_after_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let journal = SqliteJournal::open(&path).await.unwrap();
        let lease = journal.create(new_run("a")).await.unwrap();
        let mut other = other_connection(&path).await;
        sqlx::raw_sql("ALTER TABLE events RENAME TO away").execute(&mut other).await.unwrap();
        let refused = journal.append(append("a", lease, vec![replied(2, "x")])).await;
        assert!(matches!(refused, Err(JournalError::Unavailable(_))), "{refused:?}");
        assert!(journal.check().await.is_err(), "readiness shows it");
        sqlx::raw_sql("ALTER TABLE away RENAME TO events").execute(&mut other).await.unwrap();
        journal.check().await.unwrap();
        journal.append(append("a", lease, vec![replied(2, "x")])).await.unwrap();
        assert_eq!(texts(&journal, "a").await, ["x"]);
    }

    #[tokio::test]
    async fn files_that_are_no_journal_are_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("text.db"), "this is no database, and long enough to be read as one".repeat(40))
            .unwrap();
        std::fs::write(at("other.db"), "").unwrap();
        let mut other = other_connection(&at("other.db")).await;
        sqlx::raw_sql("CREATE TABLE theirs (a)").execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let files = || {
            let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
            names.map(|file| (file.clone(), std::fs::read(file).unwrap())).collect::<BTreeMap<_, _>>()
        };
        let before = files();
        let other = SqliteJournal::open(at("other.db")).await.expect_err("it must be refused");
        assert!(
            matches!(other, JournalError::Corrupt(ref why) if why.contains("another program")),
            "{other:?}"
        );
        assert!(files() == before, "no byte of it, and no file beside it, has changed");
        SqliteJournal::open(at("newer.db")).await.unwrap().close().await;
        let mut newer = other_connection(&at("newer.db")).await;
        sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut newer).await.unwrap();

        let error = async |path: PathBuf| SqliteJournal::open(path).await.expect_err("it must be refused");
        let text = error(at("text.db")).await;
        assert!(matches!(text, JournalError::Corrupt(ref why) if why.contains("text.db")), "{text:?}");
        let newer = error(at("newer.db")).await;
        assert!(matches!(newer, JournalError::NeedsUpgrade(ref why) if why.contains("99")), "{newer:?}");
        let folderless = error(at("missing/a.db")).await;
        assert!(
            matches!(folderless, JournalError::Unavailable(ref why) if why.contains("missing; create it first")),
            "{folderless:?}"
        );
        let directory = error(folder.path().to_owned()).await;
        assert!(
            matches!(directory, JournalError::Unavailable(ref why) if why.contains("folder")),
            "{directory:?}"
        );
        if cfg!(target_os = "linux") {
            let readonly = error(PathBuf::from("/proc/boathouse.db")).await;
            assert!(
                matches!(readonly, JournalError::Unavailable(ref why) if why.contains("written")),
                "{readonly:?}"
            );
        }
        assert!(std::fs::read_to_string(at("text.db")).unwrap().starts_with("this is no database"));
    }

    #[tokio::test]
    async fn whatever_page_of_the_file_is_damaged_it_is_said_and_the_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let sound = folder.path().join("sound.db");
        let journal = SqliteJournal::open(&sound).await.unwrap();
        journal.put_crew("sha256:contract", &"name: contract\n".repeat(600), None).await.unwrap();
        let runs: Vec<String> = (0..16).map(|number| format!("run-{number}")).collect();
        for run in &runs {
            let lease = journal.create(new_run(run)).await.unwrap();
            let events = (2..6).map(|seq| replied(seq, &"x".repeat(700))).collect();
            journal.append(append(run, lease, events)).await.unwrap();
        }
        journal.close().await;
        let bytes = std::fs::read(&sound).unwrap();
        const PAGE: usize = 4096;
        let (mut refused, mut noticed) = (0, 0);
        for page in 0..bytes.len() / PAGE {
            for damage in [0x00, 0xA5] {
                let path = folder.path().join(format!("damaged-{page}-{damage}.db"));
                let mut damaged = bytes.clone();
                damaged[page * PAGE..(page + 1) * PAGE].fill(damage);
                std::fs::write(&path, &damaged).unwrap();
                let journal = match SqliteJournal::open(&path).await {
                    Ok(journal) => journal,
                    Err(JournalError::Corrupt(why)) => {
                        assert!(why.contains("damaged-"), "the file is named: {why}");
                        let left = std::fs::read(&path).unwrap();
                        assert!(
                            left == damaged,
                            "page {page} with {damage}: a file that is refused stays as it is"
                        );
                        refused += 1;
                        continue;
                    }
                    Err(other) => panic!("page {page} with {damage}: {other:?}"),
                };
                for run in &runs {
                    let run = RunId::from(run.as_str());
                    let (row, events) = (journal.run(&run).await, journal.read(&run, Seq(0), 100).await);
                    for error in [row.err(), events.err()].into_iter().flatten() {
                        assert!(
                            matches!(error, JournalError::Corrupt(_)),
                            "page {page} with {damage}: {error:?}"
                        );
                        noticed += 1;
                    }
                }
                journal.close().await;
            }
        }
        assert!(refused > 0 && noticed > 0, "{refused} refused, {noticed} runs unreadable");
    }
}
