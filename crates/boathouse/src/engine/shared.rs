//! What the engine and its drivers share, and which runs are being driven.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use boathouse_core::Run;
use boathouse_core::crew::Crew;
use boathouse_core::crew::check::Catalog;
use boathouse_core::ids::{RunId, Seq, Timestamp};
use boathouse_core::run::Phase;
use boathouse_core::run::event::Recorded;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::driver::{Ask, Driver, Stopped};
use crate::feed::{Feed, Watch};
use crate::journal::{Journal, JournalError, RequestKey, Turn};
use crate::provider::Providers;
use crate::settings::SharedSettings;
use crate::tool::Tools;
use crate::webhook::Webhooks;

use super::period::Period;
use super::requests::OpenRequest;
use super::takeover::Waiting;
use super::turns::Turns;
use super::{CommandError, keeper};

/// What the engine and its drivers share.
pub(crate) struct Shared {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) providers: Providers,
    pub(crate) tools: Tools,
    pub(crate) settings: SharedSettings,
    pub(crate) cancel_grace: Duration,
    disconnect_grace: Duration,
    /// Fires when runs are no longer cancelled because their readers left.
    pub(super) keep_left: CancellationToken,
    /// Runs that may be at work at once; what comes beyond waits.
    pub(super) max_active: usize,
    /// Runs that may wait.
    pub(super) max_queued: usize,
    /// Whether runs may be queued: looked at whenever a run ends.
    pub(super) any_queued: AtomicBool,
    /// Fires when drivers are to stop as in a crash.
    pub(crate) interrupt: CancellationToken,
    /// Owns the drivers.
    pub(crate) drivers: TaskTracker,
    /// Through which this process holds its runs.
    pub(crate) period: ArcSwap<Period>,
    /// Fires when a run rests of which an approval expires.
    pub(crate) expiring: Notify,
    /// Who is told of what waits and what ends.
    pub(crate) webhooks: Option<Arc<Webhooks>>,
    /// Fires when there are notices to deliver.
    pub(crate) notices: Notify,
    /// Owns what runs beside the drivers.
    pub(super) keepers: TaskTracker,
    pub(super) keepers_end: CancellationToken,
    /// Held while a crew is added, and while sources that nothing uses are dropped.
    pub(super) crews_gate: tokio::sync::Mutex<()>,
    table: Mutex<Table>,
}

#[derive(Default)]
pub(super) struct Table {
    closing: bool,
    pub(super) live: HashMap<RunId, Live>,
    pub(super) turns: Turns,
    feeds: HashMap<RunId, Weak<Feed>>,
    /// Feeds when dead ones were last taken out.
    feeds_then: usize,
    /// Crew versions that some run uses.
    versions: HashMap<Arc<str>, Weak<Crew>>,
    dirs: HashMap<String, PathBuf>,
    /// Runs that cannot go on here, as their logs cannot be read: they are not tried again by themselves.
    pub(super) given_up: HashSet<RunId>,
    /// Requests that are being carried out, by scope and key.
    requests: HashSet<(String, String)>,
}

/// Which runs to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recover {
    /// At the start.
    First,
    /// One that may have been tried before.
    Again,
}

/// A run that is to be given a driver.
pub(super) struct Start {
    pub(super) run: Run,
    /// Its log so far.
    pub(super) log: Vec<Recorded>,
    pub(super) clock: Clock,
    /// Whether it is watched from its first event, and with deltas.
    pub(super) deltas: Option<bool>,
    pub(super) request: Option<OpenRequest>,
    /// How it comes to its turn on the thread that it shares.
    pub(super) turn: Option<Turn>,
}

/// Why a run was not begun.
pub(super) enum NotBegun {
    /// Too many runs are at work, or others wait for room.
    NoRoom(Box<Start>),
    /// The engine is shutting down.
    Closing,
    /// It could not be put into the journal.
    Journal(JournalError),
}

impl From<JournalError> for NotBegun {
    fn from(error: JournalError) -> NotBegun {
        NotBegun::Journal(error)
    }
}

/// A run that was given a driver.
pub(super) struct Begun {
    /// Told when the run is in the journal, or could not be put there.
    pub(super) created: oneshot::Receiver<Result<(), JournalError>>,
    pub(super) watch: Option<Watch>,
}

/// A run that has a driver.
pub(super) struct Live {
    commands: mpsc::UnboundedSender<Ask>,
    gone: CancellationToken,
}

impl Shared {
    pub(super) fn new(
        journal: Arc<dyn Journal>,
        providers: Providers,
        tools: Tools,
        cancel_grace: Duration,
        disconnect_grace: Duration,
        (max_active, max_queued): (usize, usize),
        webhooks: Option<Webhooks>,
    ) -> Shared {
        let period = Period::new(Instant::now(), journal.lease().map(keeper::lasts));
        Shared {
            journal,
            providers,
            tools,
            settings: SharedSettings::default(),
            cancel_grace,
            disconnect_grace,
            keep_left: CancellationToken::new(),
            max_active,
            max_queued,
            any_queued: AtomicBool::new(false),
            interrupt: CancellationToken::new(),
            drivers: TaskTracker::new(),
            period: ArcSwap::from_pointee(period),
            expiring: Notify::new(),
            webhooks: webhooks.map(Arc::new),
            notices: Notify::new(),
            keepers: TaskTracker::new(),
            keepers_end: CancellationToken::new(),
            crews_gate: tokio::sync::Mutex::default(),
            table: Mutex::default(),
        }
    }

    /// A panic while the lock is held would leave at worst an entry too many, so the table stays usable.
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of a crew that is served from one.
    pub(crate) fn crew_dir(&self, crew: &str) -> Option<PathBuf> {
        self.table().dirs.get(crew).cloned()
    }

    pub(super) fn set_crew_dir(&self, crew: &str, dir: PathBuf) {
        self.table().dirs.insert(crew.to_owned(), dir);
    }

    /// The folder that a crew was served from when it began a run; where it is served from now counts more.
    pub(super) fn remember_crew_dir(&self, crew: &str, dir: PathBuf) {
        self.table().dirs.entry(crew.to_owned()).or_insert(dir);
    }

    /// What the program has: crews are checked against it.
    pub(crate) fn catalog(&self) -> Catalog {
        Catalog { tools: self.tools.specs(), providers: self.providers.names() }
    }

    /// Completes when the run's last reader has been gone for the grace, while that matters.
    pub(crate) async fn left(&self, feed: &Feed) {
        tokio::select! {
            biased;
            () = self.keep_left.cancelled() => std::future::pending().await,
            () = feed.left_for(self.disconnect_grace) => {}
        }
    }

    /// Refuses new runs from now on.
    pub(super) fn close(&self) {
        self.table().closing = true;
    }

    /// The runs that have a driver.
    pub(super) fn live(&self) -> Vec<RunId> {
        self.table().live.keys().cloned().collect()
    }

    /// Fires when the run has no driver; `None` if it has none now.
    pub(super) fn until_rest(&self, run: &RunId) -> Option<CancellationToken> {
        self.table().live.get(run).map(|live| live.gone.clone())
    }

    /// A crew version that some run uses.
    pub(super) fn version_in_use(&self, hash: &str) -> Option<Arc<Crew>> {
        self.table().versions.get(hash).and_then(Weak::upgrade)
    }

    /// Remembers a crew version for as long as some run uses it.
    pub(super) fn keep_version(&self, crew: &Arc<Crew>) {
        let mut table = self.table();
        table.versions.retain(|_, version| version.strong_count() > 0);
        table.versions.insert(crew.hash.clone(), Arc::downgrade(crew));
    }

    /// The hashes of crews that are served, and of those that a run of this process uses.
    pub(super) fn crews_in_use(&self) -> Vec<Arc<str>> {
        let mut hashes: Vec<_> = self.settings.crews().iter().map(|crew| crew.hash.clone()).collect();
        let table = self.table();
        let used = table.versions.iter().filter(|(_, version)| version.strong_count() > 0);
        hashes.extend(used.map(|(hash, _)| hash.clone()));
        hashes
    }

    /// Takes a run off the table although commands may wait.
    pub(super) fn drop_out(&self, run: &RunId) {
        self.table().remove(run);
    }

    /// Remembers that a run cannot go on here until somebody asks for it.
    pub(super) fn give_up(&self, run: &RunId) {
        self.table().given_up.insert(run.clone());
    }

    /// Marks a request as being carried out; `None` if it is already.
    pub(super) fn open_request(self: &Arc<Self>, key: RequestKey) -> Option<OpenRequest> {
        let new = self.table().requests.insert((key.scope.clone(), key.key.clone()));
        new.then(|| OpenRequest::new(self.clone(), key))
    }

    pub(super) fn close_request(&self, key: &RequestKey) {
        self.table().requests.remove(&(key.scope.clone(), key.key.clone()));
    }

    /// The feed of a run that is driven or watched.
    pub(super) fn feed(&self, run: &RunId) -> Option<Arc<Feed>> {
        self.table().feeds.get(run).and_then(Weak::upgrade)
    }

    /// Takes a run off the table, if no command is waiting. Called by its driver when the run rests.
    pub(crate) fn leave(
        &self,
        run: &RunId,
        commands: &mut mpsc::UnboundedReceiver<Ask>,
        backlog: &mut VecDeque<Ask>,
    ) -> bool {
        let mut table = self.table();
        // Commands are sent under the same lock: none can come after this look.
        while let Ok(ask) = commands.try_recv() {
            backlog.push_back(ask);
        }
        if !backlog.is_empty() {
            return false;
        }
        table.remove(run);
        true
    }

    /// Ends all watches: those of queued runs, which no driver ends.
    pub(super) fn close_feeds(&self) {
        let feeds: Vec<_> = self.table().feeds.values().filter_map(Weak::upgrade).collect();
        feeds.iter().for_each(|feed| feed.close());
    }

    /// The feed of a run, made if there is none; `None` when the engine closes.
    pub(super) fn make_feed(&self, run: &RunId, head: Seq) -> Option<Arc<Feed>> {
        let mut table = self.table();
        if table.closing { None } else { Some(table.feed(run, head)) }
    }

    /// Starts a run's driver, if there is room; tells when the run is in the journal.
    pub(super) fn begin(self: &Arc<Self>, start: Start) -> Result<Begun, NotBegun> {
        let id = start.run.id().clone();
        let (created, when_created) = oneshot::channel();
        let (feed, commands) = {
            let mut table = self.table();
            if table.turns.short_of_room || table.live.len() >= self.max_active {
                table.turns.short_of_room = true;
                return Err(NotBegun::NoRoom(Box::new(start)));
            }
            table.enter(&id).ok_or(NotBegun::Closing)?
        };
        let Start { run, log, clock, deltas, request, turn } = start;
        let watch =
            deltas.map(|deltas| Watch::live(feed.clone(), self.journal.clone(), id.clone(), Seq(0), deltas));
        let driver = Driver::begin(self.clone(), run, log, clock, feed.clone(), commands, request);
        let mut driver = driver.taking(turn);
        let shared = self.clone();
        self.drivers.spawn(async move {
            let stopped = driver.drive(Some(created)).await;
            shared.finish(&id, &feed, driver, &stopped);
        });
        Ok(Begun { created: when_created, watch })
    }

    /// Sends a command to a run's driver; a run without one gets one.
    pub(super) fn send(self: &Arc<Self>, run: &RunId, ask: Ask) -> Result<(), CommandError> {
        let mut table = self.table();
        let Some(live) = table.live.get(run) else {
            let (feed, commands) = table.enter(run).ok_or(CommandError::ShuttingDown)?;
            drop(table);
            let waiting = Waiting { asks: [ask].into(), ..Waiting::new(commands) };
            self.take_over(run.clone(), feed, waiting, None);
            return Ok(());
        };
        // The receiver lives as long as the entry.
        let _ = live.commands.send(ask);
        Ok(())
    }

    /// Goes on with a run from its log. Nothing happens if it is being driven.
    pub(super) fn recover(self: &Arc<Self>, run: RunId, which: Recover) {
        self.recover_at(run, which, Timestamp(0));
    }

    /// Goes on with a run from its log, whose clock shows at least the time given.
    pub(super) fn recover_at(self: &Arc<Self>, run: RunId, which: Recover, not_before: Timestamp) {
        let entered = {
            let mut table = self.table();
            let given_up = which == Recover::Again && table.given_up.contains(&run);
            if given_up || table.live.contains_key(&run) { None } else { table.enter(&run) }
        };
        if let Some((feed, commands)) = entered {
            self.take_over(run, feed, Waiting { not_before, ..Waiting::new(commands) }, None);
        }
    }

    /// After a driver has stopped.
    pub(super) fn finish(
        self: &Arc<Self>,
        id: &RunId,
        feed: &Arc<Feed>,
        mut driver: Driver,
        stopped: &Stopped,
    ) {
        if driver.run().outcome().is_some() {
            self.free(driver.run());
        }
        let wants = driver.run().started().on_disconnect;
        match stopped {
            Stopped::AtRest => {
                if *driver.run().phase() == Phase::Queued {
                    self.cancel_when_left(id, wants, feed.clone());
                }
                return;
            }
            Stopped::Interrupted => {}
            // Another went first. Whoever watches goes on waiting; commands find the run as it is, queued.
            Stopped::Lost(JournalError::ThreadBusy(_)) if driver.is_kept() => {
                self.table().remove(id);
                self.cancel_when_left(id, wants, feed.clone());
                for ask in driver.take_asks() {
                    // Whoever asked is told by what is dropped.
                    let _ = self.send(id, ask);
                }
                return;
            }
            // Whoever wanted to start it is told.
            Stopped::Lost(_) if !driver.is_kept() => {}
            Stopped::Lost(error) => tracing::error!(run = %id, %error, "the run was lost to this process"),
        }
        self.table().remove(id);
        feed.close();
        driver.refuse_rest(|| match stopped {
            Stopped::Lost(error) => CommandError::Journal(error.clone()),
            Stopped::AtRest | Stopped::Interrupted => CommandError::ShuttingDown,
        });
    }
}

impl Table {
    /// Enters a run that is going to be driven; `None` when the engine closes.
    pub(super) fn enter(&mut self, run: &RunId) -> Option<(Arc<Feed>, mpsc::UnboundedReceiver<Ask>)> {
        if self.closing {
            return None;
        }
        let (commands, receiver) = mpsc::unbounded_channel();
        self.turns.is_driven(run);
        self.live.insert(run.clone(), Live { commands, gone: CancellationToken::new() });
        Some((self.feed(run, Seq(0)), receiver))
    }

    /// The feed of a run; a new one, if there is none, begins after `head`.
    fn feed(&mut self, run: &RunId, head: Seq) -> Arc<Feed> {
        if let Some(feed) = self.feeds.get(run).and_then(Weak::upgrade) {
            return feed;
        }
        let feed = Arc::new(Feed::new(head));
        self.feeds.insert(run.clone(), Arc::downgrade(&feed));
        if self.feeds.len() > 2 * self.feeds_then + 64 {
            self.feeds.retain(|_, feed| feed.strong_count() > 0);
            self.feeds_then = self.feeds.len();
        }
        feed
    }

    fn remove(&mut self, run: &RunId) {
        if let Some(live) = self.live.remove(run) {
            live.gone.cancel();
            self.turns.made_room();
        }
    }
}
