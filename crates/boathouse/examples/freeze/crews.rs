//! The crews of the scenarios, and what their models say.
//!
//! Each is whole, also where two are much alike: a log came from it.

pub(crate) const LINE: &str = r#"
name: line
agents:
  - {id: first, name: First, provider: scripted, role: Takes requests, tools: [Look, Missing]}
  - {id: second, name: Second, provider: scripted, role: Does the work, tools: [Look], is_terminal: true}
tools:
  Look:
    description: Looks at something.
    parameters: {type: object, properties: {what: {type: string}}, required: [what], additionalProperties: false}
    command: {argv: [echo, "looked at {what}"]}
    effect: read
  Missing:
    description: Starts a program that there is not.
    command: {argv: [no-such-program-anywhere]}
    effect: read
routing:
  signals:
    first: [{signal: "[SECOND]", target: second, description: Somebody has to do it}]
  agent_behaviors:
    first: {wait_for_signal: true}
"#;
pub(crate) const LINE_SCRIPT: &str = r#"
rules:
  - {agent: first, call: 1, reply: "Let me look.", usage: {input_tokens: 120, output_tokens: 9}, tools: [{name: Look, arguments: {what: "the «attic» & \"cellar\""}}, {name: Missing}, {name: Look, arguments: {where: x}}, {name: Look, arguments: "not json"}, {name: Dig}]}
  - {agent: first, call: 2, reply: "Which one?", usage: {input_tokens: 300, output_tokens: 4}}
  - {agent: first, call: 3, reply: "Then this one: {{input}}. [SECOND]"}
  - {agent: second, call: 1, tools: [{name: Look, arguments: {what: door}}]}
  - {agent: second, call: 2, reply: "Done: {{result.Look}}"}
"#;

pub(crate) const SLOW: &str = r#"
name: slow
agents:
  - {id: thinker, provider: scripted, is_terminal: true}
"#;
pub(crate) const SLOW_SCRIPT: &str = r#"
rules:
  - {agent: thinker, attempt: 1, delay_ms: 1500, reply: "I have thought about it."}
  - {agent: thinker, reply: "I have thought about it again."}
"#;

pub(crate) const SEND: &str = r#"
name: send
agents:
  - {id: sender, provider: scripted, tools: [Send], is_terminal: true}
tools:
  Send:
    description: Sends a letter, once.
    command: {argv: [sleep, "600"]}
    timeout_seconds: 900
    effect: once
"#;
pub(crate) const SEND_SCRIPT: &str = r#"
rules:
  - {agent: sender, call: 1, reply: "I send it.", tools: [{name: Send}]}
  - {agent: sender, reply: "The letter: {{result.Send}}"}
"#;

pub(crate) const QUICK: &str = r#"
name: quick
agents:
  - {id: sender, provider: scripted, tools: [Send], is_terminal: true}
tools:
  Send:
    description: Sends a letter, once, and takes too long for it.
    command: {argv: [sleep, "600"]}
    timeout_seconds: 1
    effect: once
"#;
pub(crate) const QUICK_SCRIPT: &str = SEND_SCRIPT;

pub(crate) const APPROVALS: &str = r#"
name: approvals
agents:
  - {id: clerk, provider: scripted, tools: [Pay], is_terminal: true}
tools:
  Pay:
    description: Pays an amount.
    parameters: {type: object, properties: {amount: {type: integer}}, required: [amount]}
    command: {argv: [echo, "paid {amount}"]}
    effect: once
    approval: always
"#;
pub(crate) const APPROVALS_SCRIPT: &str = r#"
rules:
  - agent: clerk
    call: 1
    reply: Four bills.
    tools:
      - {name: Pay, arguments: {amount: 1}}
      - {name: Pay, arguments: {amount: 2}}
      - {name: Pay, arguments: {amount: 3}}
      - {name: Pay, arguments: {amount: 4}}
  - {agent: clerk, reply: All is settled.}
"#;

pub(crate) const WORK: &str = r#"
name: work
agents:
  - {id: worker, provider: scripted, tools: [Stubborn, Read, Send], is_terminal: true}
tools:
  Stubborn:
    description: Ignores SIGTERM.
    command: {argv: [sh, -c, "trap '' TERM; sleep 600 & wait; sleep 600"]}
    timeout_seconds: 900
    effect: idempotent
  Read:
    description: Reads for long.
    command: {argv: [sleep, "600"]}
    timeout_seconds: 900
    effect: read
  Send:
    description: Sends for long.
    command: {argv: [sleep, "600"]}
    timeout_seconds: 900
    effect: once
"#;
pub(crate) const WORK_SCRIPT: &str = r#"
rules:
  - {agent: worker, call: 1, reply: "All at once.", tools: [{name: Stubborn}, {name: Read}, {name: Send}]}
"#;

pub(crate) const BACKUP: &str = r#"
name: backup
agents:
  - id: speaker
    is_terminal: true
    primary: {provider: scripted, model: main}
    backup: {provider: scripted, model: spare}
settings: {model_attempts: 2, retry_backoff_min_millis: 10}
"#;
pub(crate) const BACKUP_SCRIPT: &str = r#"
rules:
  - {model: main, attempt: 1, error: {kind: rate_limited, message: "slow down", retry_after_ms: 30}}
  - {model: main, reply: "half a rep", error: {kind: truncated, message: "the connection broke"}}
  - {model: spare, reply: "Here I am."}
"#;
pub(crate) const FAILED_SCRIPT: &str = r#"
rules:
  - {model: main, error: {kind: auth, message: "no such key"}}
  - {model: spare, error: {kind: server, message: "out of order"}}
"#;

pub(crate) const GROUP: &str = r#"
name: group
agents:
  - {id: desk, provider: scripted}
  - {id: good, provider: scripted, tools: [Look]}
  - {id: bad, provider: scripted}
  - {id: busy, provider: scripted, tools: [Look]}
  - {id: closer, provider: scripted, is_terminal: true}
tools:
  Look:
    description: Looks.
    command: {argv: [echo, seen]}
    effect: read
routing:
  signals:
    desk: [{signal: "[ALL]", target: everyone}]
  parallel_groups:
    everyone: {agents: [good, bad, busy], next_agent: closer, aggregate: json}
settings: {max_rounds: 1, model_attempts: 1}
"#;
pub(crate) const GROUP_SCRIPT: &str = r#"
rules:
  - {agent: desk, reply: "All of you. [ALL]"}
  - {agent: good, call: 1, tools: [{name: Look}]}
  - {agent: good, reply: "I have {{result.Look}} it."}
  - {agent: bad, error: {kind: rejected, message: "I will not"}}
  - {agent: busy, tools: [{name: Look}]}
  - {agent: closer, reply: "Closed."}
"#;

pub(crate) const FIRST: &str = r#"
name: first
agents:
  - {id: desk, provider: scripted}
  - {id: quick, provider: scripted}
  - {id: late, provider: scripted}
routing:
  signals:
    desk: [{signal: "[RACE]", target: race}]
  parallel_groups:
    race: {agents: [quick, late], join: first}
"#;
pub(crate) const FIRST_SCRIPT: &str = r#"
rules:
  - {agent: desk, reply: "Go. [RACE]"}
  - {agent: quick, reply: "Me!"}
  - {agent: late, delay_ms: 600000, reply: "Me?"}
"#;

pub(crate) const FAIL_FAST: &str = r#"
name: fail-fast
agents:
  - {id: desk, provider: scripted}
  - {id: bad, provider: scripted}
  - {id: late, provider: scripted}
routing:
  signals:
    desk: [{signal: "[BOTH]", target: both}]
  parallel_groups:
    both: {agents: [bad, late], on_error: fail_fast}
"#;
pub(crate) const FAIL_FAST_SCRIPT: &str = r#"
rules:
  - {agent: desk, reply: "Go. [BOTH]"}
  - {agent: bad, error: {kind: rejected, message: "I will not"}}
  - {agent: late, delay_ms: 600000, reply: "Me?"}
"#;

pub(crate) const TIMES_OUT: &str = r#"
name: times-out
agents:
  - {id: desk, provider: scripted}
  - {id: quick, provider: scripted}
  - {id: late, provider: scripted}
routing:
  signals:
    desk: [{signal: "[RACE]", target: race}]
  parallel_groups:
    race: {agents: [quick, late], timeout_seconds: 1}
"#;

pub(crate) const OUT_OF_TIME: &str = r#"
name: out-of-time
agents:
  - {id: thinker, provider: scripted, is_terminal: true}
settings: {timeout_seconds: 1}
"#;

pub(crate) const PING_PONG: &str = r#"
name: ping-pong
agents:
  - {id: ping, provider: scripted}
  - {id: pong, provider: scripted}
routing:
  defaults: {ping: pong, pong: ping}
settings: {max_handoffs: 2}
"#;
pub(crate) const PING_PONG_SCRIPT: &str = r#"
rules:
  - {agent: ping, reply: "ping"}
  - {agent: pong, reply: "pong"}
"#;

pub(crate) const ROUNDS: &str = r#"
name: rounds
agents:
  - {id: looker, provider: scripted, tools: [Look], is_terminal: true}
tools:
  Look:
    description: Looks.
    command: {argv: [echo, seen]}
    effect: read
settings: {max_rounds: 1}
"#;
pub(crate) const ROUNDS_SCRIPT: &str = r#"
rules:
  - {agent: looker, reply: "Once more.", tools: [{name: Look}]}
"#;

pub(crate) const TRANSFER: &str = r#"
name: transfer
handoff: tool
agents:
  - {id: desk, provider: scripted, tools: [Look], handoff_targets: [expert]}
  - {id: expert, name: Expert, provider: scripted, description: Knows it all, is_terminal: true}
tools:
  Look:
    description: Looks.
    command: {argv: [echo, seen]}
    effect: read
"#;
pub(crate) const TRANSFER_SCRIPT: &str = r#"
rules:
  - {agent: desk, reply: "The expert knows.", tools: [{name: Look}, {name: transfer_to_expert}, {name: transfer_to_expert}]}
  - {agent: expert, reply: "I do."}
"#;

pub(crate) const BY_TEXT: &str = r#"
name: by-text
agents:
  - {id: writer, provider: scripted, tool_calls: text, tools: [Look], is_terminal: true}
tools:
  Look:
    description: Looks at something.
    parameters: {type: object, properties: {what: {type: string}}, required: [what]}
    command: {argv: [echo, "looked at {what}"]}
    effect: read
"#;
pub(crate) const BY_TEXT_SCRIPT: &str = r#"
rules:
  - {agent: writer, call: 1, reply: "I look:\nLook(\"here, (and) there\")\nLook()"}
  - {agent: writer, reply: "Seen."}
"#;

pub(crate) const TRIMMED: &str = r#"
name: trimmed
agents:
  - {id: talker, provider: scripted}
routing:
  agent_behaviors: {talker: {wait_for_signal: true}}
  signals:
    talker: [{signal: "[BYE]", target: null}]
settings: {keep_recent: 2}
"#;
pub(crate) const SUMMARIZED: &str = r#"
name: summarized
agents:
  - {id: talker, provider: scripted}
routing:
  agent_behaviors: {talker: {wait_for_signal: true}}
  signals:
    talker: [{signal: "[BYE]", target: null}]
settings: {keep_recent: 4, summarize: true}
"#;
pub(crate) const SUMMARIZED_SCRIPT: &str = r#"
rules:
  - {when: "^Summarize", reply: "They said hello, and talked about one thing.", usage: {input_tokens: 40, output_tokens: 9}}
  - {agent: talker, call: 4, reply: "Good bye. [BYE]"}
  - {agent: talker, reply: "And then?"}
"#;
pub(crate) const TRIMMED_SCRIPT: &str = r#"
rules:
  - {agent: talker, call: 4, reply: "Good bye. [BYE]"}
  - {agent: talker, reply: "And then?"}
"#;
