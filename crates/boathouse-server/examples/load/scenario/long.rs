//! A run that does not end: ten thousand messages, with the whole history in every prompt and with the newest 50.

use std::time::Instant;

use http_body_util::BodyExt;

use crate::crews;
use crate::http::{Connection, Result, count};
use crate::lab::{Door, Journal, Lab, millis};

pub(crate) async fn run(lab: &Lab, messages: usize) -> Result<()> {
    let rounds = messages / 2;
    for (number, keep_recent) in [(1, None), (2, Some(50))] {
        println!("keep_recent: {}", keep_recent.map_or("not set".to_owned(), |keep| keep.to_string()));
        let dirs = [crews::long(lab.dir.path(), rounds, keep_recent)?];
        let server = lab.boathouse(&dirs, Journal::Sqlite).await?;
        let mut connection = Connection::open(server.address).await?;
        let door = Door::Native { crew: "long" };
        let response = connection.send("POST", &door.path(), "text/event-stream", door.body(number)).await?;
        let mut body = response.into_body();
        let (mut done, mut next) = (0, 0);
        let mut last = (Instant::now(), server.cpu()?);
        let mut tail = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            tail.extend_from_slice(&data);
            // A frame's beginning may have come without its end.
            let whole = tail.windows(2).rposition(|two| two == b"\n\n").map_or(0, |at| at + 2);
            done += count(&tail[..whole], b"\"type\":\"tool_returned\"");
            let ended = count(&tail[..whole], b"\"type\":\"run_ended\"");
            if ended > 0 {
                println!(
                    "  {}",
                    String::from_utf8_lossy(&tail[tail.len().saturating_sub(300)..whole]).trim_end()
                );
            }
            tail.drain(..whole);
            if done >= next && done > 0 || next == 0 {
                let (wall, cpu) = (last.0.elapsed(), server.cpu()?);
                let memory = server.memory()?;
                println!(
                    "  {:>6} messages: {:>8.3} ms and {:>8.3} ms CPU a message since the last line, {:>7.1} MiB ({:.1} peak), journal {:>8} KiB",
                    done * 2,
                    millis(wall) / (messages / 10) as f64,
                    millis(cpu - last.1) / (messages / 10) as f64,
                    memory.now,
                    memory.peak,
                    lab.journal_bytes() / 1024,
                );
                next += rounds / 10;
                last = (Instant::now(), cpu);
            }
        }
    }
    Ok(())
}
