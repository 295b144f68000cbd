//! What is done to one server of a batch.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout};

use crate::Failure;
use crate::dice::Dice;
use crate::server::{Recipe, Server};
use crate::tally::Tally;

/// The names of crash points, as the server reads them.
const POINTS: [&str; 4] = ["before_commit", "after_append", "after_effect", "before_outcome"];

/// Where the servers listen; those that are down are none.
#[derive(Clone)]
pub(crate) struct Addresses(Arc<Mutex<Vec<Option<SocketAddr>>>>);

impl Addresses {
    pub(crate) fn of(servers: usize) -> Addresses {
        Addresses(Arc::new(Mutex::new(vec![None; servers])))
    }

    pub(crate) fn up(&self) -> Vec<SocketAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().copied().collect()
    }

    fn set(&self, place: usize, address: Option<SocketAddr>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[place] = address;
    }
}

/// Kills, stops and restarts the server at a place until it is time; leaves one that nothing is done to any more.
pub(crate) async fn haunt(
    recipe: Recipe,
    addresses: Addresses,
    place: usize,
    mut dice: Dice,
    until: Instant,
) -> Result<(Server, Tally), Failure> {
    let mut tally = Tally::default();
    while Instant::now() < until {
        let point = *dice.pick(&POINTS).ok_or("no crash points")?;
        let at = dice.percent(70).then(|| format!("{point}:{}", 1 + dice.below(15)));
        let Some(mut server) = recipe.start(place, at.as_deref()).await? else {
            tally.count(point, 1);
            continue;
        };
        addresses.set(place, Some(server.address));
        let lives = dice.between(Duration::from_millis(200), Duration::from_millis(1500));
        let dead = match timeout(lives, server.died()).await {
            Ok(died) => died.map(|()| true)?,
            Err(_) if dice.percent(40) => {
                server.signal(Signal::STOP);
                sleep(dice.between(recipe.lease.mul_f64(1.2), recipe.lease.mul_f64(2.5))).await;
                tally.count("stopped past the lease", 1);
                server.signal(Signal::CONT);
                // Now it finds out; some do not get the time.
                let finds_out = dice.between(Duration::ZERO, Duration::from_secs(1));
                matches!(timeout(finds_out, server.died()).await, Ok(Ok(())))
            }
            Err(_) => false,
        };
        if dead && at.is_none() {
            return Err("a server died without a cause".into());
        }
        tally.count(if dead { point } else { "killed" }, 1);
        server.signal(Signal::KILL);
        server.died().await?;
        addresses.set(place, None);
        sleep(dice.between(Duration::ZERO, Duration::from_millis(300))).await;
    }
    let server = recipe.start(place, None).await?.ok_or("a server died without a cause")?;
    addresses.set(place, Some(server.address));
    Ok((server, tally))
}
