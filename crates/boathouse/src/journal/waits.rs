//! What waits for a person, over all runs, so that nobody must replay a run to list it.

use boathouse_core::Run;
use boathouse_core::ids::{AgentId, BranchId, CallId, RunId, ThreadId, Timestamp, WaitId};
use boathouse_core::run::event::{CallEnd, WaitFor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// Bytes of a question that are listed.
const MAX_QUESTION: usize = 8 * 1024;

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenWait {
    /// The run.
    pub run: RunId,
    /// Its crew's name.
    pub crew: String,
    /// Its conversation.
    pub thread: ThreadId,
    /// The wait's id in the run.
    pub wait: WaitId,
    /// The line of work that waits.
    pub branch: BranchId,
    /// Whose wait it is.
    pub agent: AgentId,
    /// The agent's last words, where they are the question; their first 8 KiB.
    pub question: Option<String>,
    /// For what.
    pub what: WaitFor,
    /// Since when.
    pub opened_at: Timestamp,
}

/// As the API and webhooks show it: flat, each field always there.
impl Serialize for OpenWait {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            run: &'a RunId,
            crew: &'a str,
            thread: &'a ThreadId,
            wait: WaitId,
            /// Its id for decisions: a question of an agent is none.
            approval: Option<WaitId>,
            kind: &'a str,
            branch: BranchId,
            agent: &'a AgentId,
            question: Option<&'a str>,
            schema: Option<&'a Value>,
            call: Option<CallId>,
            tool: Option<&'a str>,
            arguments: Option<&'a Value>,
            digest: Option<String>,
            end: Option<CallEnd>,
            opened_at: Timestamp,
            expires_at: Option<Timestamp>,
        }
        let mut shown = Shown {
            run: &self.run,
            crew: &self.crew,
            thread: &self.thread,
            wait: self.wait,
            approval: self.what.tool().map(|_| self.wait),
            kind: self.what.kind(),
            branch: self.branch,
            agent: &self.agent,
            question: self.question.as_deref(),
            schema: None,
            call: None,
            tool: self.what.tool(),
            arguments: None,
            digest: self.what.digest(),
            end: None,
            opened_at: self.opened_at,
            expires_at: self.what.expires_at(),
        };
        match &self.what {
            WaitFor::Answer { schema } => shown.schema = schema.as_ref(),
            WaitFor::Approval { call, arguments, .. } => {
                (shown.call, shown.arguments) = (Some(*call), Some(arguments));
            }
            WaitFor::UnknownOutcome { call, arguments, end, .. } => {
                (shown.call, shown.arguments, shown.end) = (Some(*call), Some(arguments), Some(*end));
            }
        }
        shown.serialize(serializer)
    }
}

/// Which waits to list.
#[derive(Clone, Debug, Default)]
pub struct WaitQuery {
    /// Only of this crew.
    pub crew: Option<String>,
    /// Only of this kind: see [`WaitFor::kind`].
    pub kind: Option<String>,
    /// Only about calls of this tool.
    pub tool: Option<String>,
    /// Only newer than this place: that of the last wait of the page before.
    pub after: Option<WaitPlace>,
    /// At most so many.
    pub limit: usize,
}

/// Where a wait stands in the list: by time, run and id.
pub type WaitPlace = (Timestamp, RunId, WaitId);

impl OpenWait {
    /// All that a run waits for, oldest first.
    pub fn of(run: &Run) -> Vec<OpenWait> {
        let waits = run.waits().iter().map(|open| {
            let question = match &open.what {
                WaitFor::Answer { .. } => run.branch(open.branch).map(|branch| {
                    let words = &branch.last_reply;
                    words[..words.floor_char_boundary(MAX_QUESTION)].to_owned()
                }),
                WaitFor::Approval { .. } | WaitFor::UnknownOutcome { .. } => None,
            };
            OpenWait {
                run: run.id().clone(),
                crew: run.started().crew.clone(),
                thread: run.started().thread.clone(),
                wait: open.wait,
                branch: open.branch,
                agent: open.agent.clone(),
                question,
                what: open.what.clone(),
                opened_at: open.opened_at,
            }
        });
        waits.collect()
    }

    /// Where it stands in the list.
    pub fn place(&self) -> WaitPlace {
        (self.opened_at, self.run.clone(), self.wait)
    }

    /// Whether a query wants it, whatever its place.
    pub(super) fn fits(&self, query: &WaitQuery) -> bool {
        query.crew.as_ref().is_none_or(|crew| *crew == self.crew)
            && query.kind.as_ref().is_none_or(|kind| kind == self.what.kind())
            && query.tool.as_ref().is_none_or(|tool| self.what.tool() == Some(tool))
    }
}

/// The part of a wait that a table keeps as JSON; the rest are columns.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) branch: BranchId,
    pub(super) agent: AgentId,
    #[serde(default)]
    pub(super) question: Option<String>,
    #[serde(rename = "for")]
    pub(super) what: WaitFor,
}

impl Kept {
    pub(super) fn json(wait: &OpenWait) -> String {
        #[derive(Serialize)]
        struct Borrowed<'a> {
            branch: BranchId,
            agent: &'a AgentId,
            #[serde(skip_serializing_if = "Option::is_none")]
            question: Option<&'a str>,
            r#for: &'a WaitFor,
        }
        let kept = Borrowed {
            branch: wait.branch,
            agent: &wait.agent,
            question: wait.question.as_deref(),
            r#for: &wait.what,
        };
        // A struct of texts, numbers and JSON always serializes.
        serde_json::to_string(&kept).unwrap_or_default()
    }
}
