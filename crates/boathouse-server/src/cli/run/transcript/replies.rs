//! Replies in flight: the first one streams, and the others appear after it, whole or as far as they are.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};

use boathouse::core::ids::{AgentId, CallId};

use super::Transcript;

/// Replies that are in flight, or wait for another one to end.
#[derive(Default)]
pub(super) struct Replies {
    live: BTreeMap<CallId, Live>,
    /// The one that streams.
    front: Option<CallId>,
    /// Replies that came while another one streamed.
    finished: VecDeque<(AgentId, String)>,
}

/// A reply in flight.
struct Live {
    agent: AgentId,
    attempt: u32,
    text: String,
    /// Bytes of the text that were shown.
    shown: usize,
}

impl Replies {
    /// Whether one streams.
    pub(super) fn stream(&self) -> bool {
        self.front.is_some()
    }
}

impl<W: Write> Transcript<W> {
    /// A reply is on its way.
    pub(super) fn reply_wanted(&mut self, call: CallId, attempt: u32, agent: &AgentId) -> io::Result<()> {
        let live = Live { agent: agent.clone(), attempt, text: String::new(), shown: 0 };
        self.replies.live.insert(call, live);
        self.advance()
    }

    /// Shows a piece of a reply in flight: `offset` is its place in the text, in bytes.
    pub(crate) fn delta(&mut self, call: CallId, attempt: u32, offset: usize, piece: &str) -> io::Result<()> {
        let Some(live) = self.replies.live.get_mut(&call) else { return Ok(()) };
        // A piece from before a snapshot has been shown with it.
        if live.attempt != attempt || live.text.len() != offset {
            return Ok(());
        }
        live.text.push_str(piece);
        self.advance()
    }

    /// Shows the whole text so far of a reply in flight, in the place of what was shown of it.
    pub(crate) fn snapshot(&mut self, call: CallId, attempt: u32, text: &str) -> io::Result<()> {
        let Some(live) = self.replies.live.get_mut(&call) else { return Ok(()) };
        live.attempt = attempt;
        let goes_on = text.as_bytes().starts_with(&live.text.as_bytes()[..live.shown]);
        live.text = text.to_owned();
        if !goes_on {
            live.shown = 0;
            self.sheet.close_line()?;
        }
        self.advance()
    }

    pub(super) fn replied(&mut self, call: CallId, agent: &AgentId, text: &str) -> io::Result<()> {
        let live = self.replies.live.remove(&call);
        if self.replies.front == Some(call) {
            self.replies.front = None;
            let shown = live.map_or(0, |live| live.shown);
            // What streamed is the beginning of the reply; should it ever not be, the reply is what counts.
            match text.get(shown..) {
                Some(rest) => self.sheet.text(rest)?,
                None => {
                    self.sheet.close_line()?;
                    self.sheet.text(text)?;
                }
            }
            self.sheet.close_line()?;
            return self.advance();
        }
        self.replies.finished.push_back((agent.clone(), text.to_owned()));
        self.advance()
    }

    /// Takes away a reply that does not come to its end, and says whose it was. [`Transcript::advance`] shows what
    /// waited for it.
    pub(super) fn reply_lost(&mut self, call: CallId) -> io::Result<Option<AgentId>> {
        let Some(live) = self.replies.live.remove(&call) else { return Ok(None) };
        if self.replies.front == Some(call) {
            self.replies.front = None;
            self.sheet.close_line()?;
        }
        Ok(Some(live.agent))
    }

    /// Shows what may be shown now: more of the reply in front, or what waited for its end.
    pub(super) fn advance(&mut self) -> io::Result<()> {
        if self.replies.front.is_none() {
            while let Some((agent, text)) = self.replies.finished.pop_front() {
                self.header(&agent)?;
                self.sheet.text(&text)?;
                self.sheet.close_line()?;
            }
            if let Some((call, live)) = self.replies.live.iter().next() {
                let (call, agent) = (*call, live.agent.clone());
                self.replies.front = Some(call);
                self.header(&agent)?;
            }
        }
        let Some(live) = self.replies.front.and_then(|call| self.replies.live.get_mut(&call)) else {
            return Ok(());
        };
        let piece = live.text[live.shown..].to_owned();
        live.shown = live.text.len();
        self.sheet.text(&piece)?;
        self.sheet.flush()
    }

    fn header(&mut self, agent: &AgentId) -> io::Result<()> {
        let style = self.voice(agent);
        let name = self.full_name(agent);
        self.speaker = Some(agent.clone());
        self.sheet.gap()?;
        self.sheet.line(&format!("{style}● {name}{style:#}"))
    }
}
