//! `boathouse serve`: crews over HTTP until a signal.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use boathouse::core::crew::check::Catalog;
use boathouse::crew_dir::Loaded;
use boathouse::journal::Retention;
use boathouse::webhook::{WebhookSecret, Webhooks};
use boathouse_server::server::{self, ServerConfig};
use boathouse_server::versions::Versions;
use clap::Args;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failure};
use super::paint::BOLD;
use super::setup::{JournalChoice, Keeping, Parts};
use super::signals::StopSignals;
use super::{crews, paint};

mod reload;

use reload::Folder;

const AFTER_HELP: &str = "\
Examples:
  boathouse serve examples/it-support --model scripted
  boathouse serve crews/billing crews/support --port 9000 --journal /var/lib/boathouse/runs.db
  boathouse serve my-crew --journal memory --port 0       any free port; runs end with the process

A crew may be edited while it is served: a valid change counts for new runs, an invalid one is
told and left out.

Runs are kept in the journal. What a crash or a stop interrupted goes on at the next start.

There are no accounts yet: whoever reaches the port can do everything. So only addresses of this
machine are served, unless --no-auth says that something else (a firewall, a proxy) keeps
strangers out.

Ctrl-C or SIGTERM stops in order: no new runs, requests finish, runs in flight are left for the
next start (with --journal memory they are cancelled). A second signal quits at once.

Exit codes:
  0 stopped in order, 1 failed, 2 usage,
  130 quit at a second Ctrl-C, 143 at a second SIGTERM";

/// How long runs may take to come to rest when the server stops.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ServeArgs {
    /// Folders of crews
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// The address to listen on
    #[arg(long, env = "BOATHOUSE_HOST", default_value = "127.0.0.1", value_name = "ADDRESS", value_parser = host)]
    host: IpAddr,
    /// The port to listen on; 0 takes any free one
    #[arg(long, env = "BOATHOUSE_PORT", default_value_t = 8080)]
    port: u16,
    /// Answer for every model of every crew: `scripted`, or `PROVIDER/MODEL`
    #[arg(long, env = "BOATHOUSE_MODEL", value_name = "MODEL")]
    model: Option<String>,
    /// Where runs are kept: `memory`, or an SQLite file
    #[arg(long, env = "BOATHOUSE_JOURNAL", value_name = "memory|FILE", default_value = "boathouse.db")]
    journal: JournalChoice,
    /// Forget runs so many days after they ended; 0 keeps them for ever
    #[arg(long, env = "BOATHOUSE_KEEP_DAYS", default_value_t = 30, value_name = "DAYS")]
    keep_days: u32,
    /// Keep so many ended runs at most; 0 keeps them all
    #[arg(long, env = "BOATHOUSE_KEEP_RUNS", default_value_t = 100_000, value_name = "NUMBER")]
    keep_runs: u32,
    /// Let so many runs be at work at once; those beyond wait in the journal. Paused runs do not count
    #[arg(long, env = "BOATHOUSE_MAX_ACTIVE_RUNS", default_value_t = 10_000, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    max_active_runs: u32,
    /// Let so many runs wait, for that or for their turn on a thread; those beyond are refused
    #[arg(long, env = "BOATHOUSE_MAX_QUEUED_RUNS", default_value_t = 100_000, value_name = "NUMBER")]
    max_queued_runs: u32,
    /// Let other servers that are started so serve the same file at the same time, for tests of crashes
    #[arg(long)]
    shared_file: bool,
    /// With --shared-file: a server that was not heard for so long loses its runs to the others
    #[arg(long, default_value_t = 15_000, value_name = "MS", requires = "shared_file", value_parser = clap::value_parser!(u64).range(200..=600_000))]
    lease_ms: u64,
    /// Serve an address that other machines reach, although there are no accounts
    #[arg(long, env = "BOATHOUSE_NO_AUTH", value_parser = clap::builder::FalseyValueParser::new())]
    no_auth: bool,
    /// A name that clients may call this server by, beside those of this machine; may be repeated
    #[arg(long = "allow-host", env = "BOATHOUSE_ALLOW_HOST", value_delimiter = ',', value_name = "NAME")]
    allowed_hosts: Vec<String>,
    /// An origin whose pages may use the API, such as `https://app.example.org`; may be repeated
    #[arg(
        long = "allow-origin",
        env = "BOATHOUSE_ALLOW_ORIGIN",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    allowed_origins: Vec<String>,
    /// An address that is told when a run waits for a person and when it ends; may be repeated. Needs
    /// BOATHOUSE_WEBHOOK_SECRET
    #[arg(
        long = "webhook",
        env = "BOATHOUSE_WEBHOOK",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "URL"
    )]
    webhooks: Vec<String>,
    /// Let webhooks go to addresses of this machine and this network
    #[arg(long, env = "BOATHOUSE_WEBHOOK_ALLOW_PRIVATE", value_parser = clap::builder::FalseyValueParser::new())]
    webhook_allow_private: bool,
}

/// Signs webhooks. It is no option, so that it shows in no list of processes.
const WEBHOOK_SECRET: &str = "BOATHOUSE_WEBHOOK_SECRET";

impl ServeArgs {
    /// Who is told of what waits and what ends, if anybody is.
    fn webhooks(&self) -> Result<Option<Webhooks>, Failure> {
        if self.webhooks.is_empty() {
            return Ok(None);
        }
        let how =
            "make one with `echo whsec_$(openssl rand -base64 32)`, and give it to whoever checks signatures";
        let secret = std::env::var(WEBHOOK_SECRET).map_err(|_| {
            Failure::usage(format!("--webhook needs a secret in {WEBHOOK_SECRET} to sign with")).hint(how)
        })?;
        let secret = WebhookSecret::parse(&secret)
            .map_err(|why| Failure::usage(format!("{WEBHOOK_SECRET}: {why}")).hint(how))?;
        let mut webhooks = Webhooks::new(secret).allow_private(self.webhook_allow_private);
        for url in &self.webhooks {
            webhooks = webhooks.tell(url).map_err(Failure::usage)?;
        }
        if let Some(url) = webhooks.out_of_reach() {
            let why = format!("--webhook {url} is an address of this machine or its network");
            return Err(Failure::usage(why).hint("`--webhook-allow-private` allows such addresses"));
        }
        Ok(Some(webhooks))
    }

    fn keeping(&self) -> Keeping {
        let or_no_bound = |number: u32, most: u64| if number == 0 { most } else { u64::from(number) };
        let retention = Retention {
            age: Duration::from_secs(or_no_bound(self.keep_days, u64::from(u32::MAX)) * 24 * 60 * 60),
            runs: or_no_bound(self.keep_runs, i64::MAX as u64) as usize,
        };
        Keeping {
            shared: self.shared_file.then(|| Duration::from_millis(self.lease_ms)),
            retention: Some(retention),
            max_active: Some(self.max_active_runs as usize),
            max_queued: Some(self.max_queued_runs as usize),
        }
    }
}

fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        _ => text.parse().map_err(|_| "write an IP address, such as 127.0.0.1 or ::1".to_owned()),
    }
}

/// Serves crews until a signal says stop.
pub(crate) async fn serve(args: ServeArgs) -> Result<Exit, Failure> {
    #[cfg(feature = "crash-points")]
    if let Ok(at) = std::env::var("BOATHOUSE_CRASH_AT") {
        boathouse::crash::arm(&at).map_err(Failure::usage)?;
    }
    let mut signals = StopSignals::take_over()?;
    if !args.host.is_loopback() && !args.no_auth {
        return Err(Failure::usage(format!(
            "{} can be reached from other machines, and there are no accounts yet",
            args.host
        ))
        .hint("leave --host out, or add --no-auth if something else keeps strangers out"));
    }
    let webhooks = args.webhooks()?;
    let parts = Parts::new(args.model.as_deref())?.webhooks(webhooks);
    let catalog = parts.catalog();
    let crews = load_all(&args.dirs, &catalog)?;
    let folders = args.dirs.iter().zip(&crews).map(|(dir, loaded)| Folder::new(dir, loaded)).collect();
    let versions = Versions::default();
    for Loaded { crew, warnings, .. } in &crews {
        versions.loaded(&crew.name, &crew.hash, warnings.clone());
    }
    let names: Vec<String> = crews.iter().map(|loaded| loaded.crew.name.clone()).collect();
    // Before the engine: a port that is taken must not set recovered runs going.
    let listener = listen(SocketAddr::new(args.host, args.port))?;
    let address = listener.local_addr().map_err(Failure::new)?;
    let engine = parts.start(&args.journal, args.keeping(), crews).await?;
    let config = ServerConfig {
        allowed_hosts: allowed_hosts(args.allowed_hosts, address.ip()),
        allowed_origins: args.allowed_origins,
        versions: versions.clone(),
        ..ServerConfig::default()
    };
    announce(&names, address).map_err(|error| Failure::new(format!("cannot write to stdout: {error}")))?;

    let stop = CancellationToken::new();
    let mut serving = pin!(server::serve(listener, engine.clone(), config, stop.clone()));
    let ended = tokio::select! {
        done = &mut serving => Some(done),
        never = reload::follow(&engine, &versions, folders, &catalog) => match never {},
        _ = signals.next() => None,
    };
    let stopping = async {
        let done = match ended {
            Some(done) => done,
            None => {
                paint::note("stopping; once more to quit at once");
                stop.cancel();
                serving.await
            }
        };
        engine.shutdown(GRACE).await;
        done
    };
    tokio::select! {
        done = stopping => match done {
            Ok(()) => Ok(Exit::Done),
            Err(error) => Err(Failure::new(format!("the server failed: {error}"))),
        },
        exit = signals.next() => std::process::exit(i32::from(exit.code())),
    }
}

/// The crews of all folders; every folder's problems are told before the first failure counts.
fn load_all(dirs: &[PathBuf], catalog: &Catalog) -> Result<Vec<Loaded>, Failure> {
    let loaded: Vec<Result<Loaded, Failure>> = dirs.iter().map(|dir| crews::load(dir, catalog)).collect();
    let loaded: Vec<Loaded> = loaded.into_iter().collect::<Result<_, _>>()?;
    let mut seen: BTreeMap<&str, &PathBuf> = BTreeMap::new();
    for (loaded, dir) in loaded.iter().zip(dirs) {
        let name = &loaded.crew.name;
        if let Some(first) = seen.insert(name, dir) {
            let first = first.display();
            return Err(Failure::new(format!("two crews are named `{name}`: {first} and {}", dir.display()))
                .hint("set `name:` in one of the two crew.yaml"));
        }
    }
    Ok(loaded)
}

/// Connections that may wait to be accepted: enough for a thousand clients that come at once, whose second try to
/// connect would be a second later.
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listening = || -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listening().map_err(|error| {
        let failure = Failure::new(format!("cannot listen on {address}: {error}"));
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                failure.hint("another program listens there; `--port 0` takes any free port")
            }
            io::ErrorKind::PermissionDenied => {
                failure.hint("ports below 1024 need rights; try `--port 8080`")
            }
            io::ErrorKind::AddrNotAvailable => {
                failure.hint("this machine has no such address; try 127.0.0.1")
            }
            _ => failure,
        }
    })
}

/// An address that was chosen is also a name that clients use. An address is no door for other sites' pages: they
/// can only make a name of theirs point to it.
fn allowed_hosts(mut named: Vec<String>, address: IpAddr) -> Vec<String> {
    if address.is_unspecified() {
        if named.is_empty() {
            paint::warn("clients that do not call this server by a name of its own machine are refused");
            paint::hint("name it with --allow-host, such as `--allow-host boathouse.example.org`");
        }
    } else if !address.is_loopback() {
        named.push(SocketAddr::new(address, 0).to_string().trim_end_matches(":0").to_owned());
    }
    named
}

fn announce(crews: &[String], address: SocketAddr) -> io::Result<()> {
    let mut out = anstream::stdout();
    writeln!(out, "Boathouse serves {} at {BOLD}http://{address}{BOLD:#}", crews.join(", "))?;
    out.flush()
}
