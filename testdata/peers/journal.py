"""Reads a journal's SQLite file by docs/journal.md alone, and rebuilds the conversations in it.

    python3 journal.py FILE              every run: its state, and how many events and messages it has
    python3 journal.py FILE RUN          the main conversation of a run, one JSON object a line
    python3 journal.py FILE RUN events   its events, as they were written
"""

import json
import sqlite3
import sys

CANCELLED = "cancelled: the call was stopped before it gave a result"
UNKNOWN = "outcome unknown: the call was made, but whether it took effect is not known"
NOT_RUN = "not run: the run ended first"
EDITED = "[a person edited the arguments before the call was made: {}]\n"


def events(db, run):
    """The whole JSON text of each event, with its long texts put in."""
    rows = db.execute(
        """SELECT e.seq, e.json, p.place, b.text FROM events e
           LEFT JOIN blob_places p ON p.run = e.run AND p.seq = e.seq
           LEFT JOIN blobs b ON b.key = p.blob
           WHERE e.run = (SELECT key FROM runs WHERE id = ?) ORDER BY e.seq, p.place DESC""",
        (run,),
    )
    whole = {}
    for seq, text, place, long in rows:
        line = whole.setdefault(seq, text.encode())
        if place is not None:
            # The last place first, so that earlier ones stay where they are.
            whole[seq] = line[:place] + long.encode() + line[place:]
    assert list(whole) == list(range(1, len(whole) + 1)), "events are numbered without gaps"
    return [line.decode() for line in whole.values()]


def thread(db, run):
    """The messages of the thread that a run shares."""
    rows = db.execute(
        "SELECT json FROM thread_messages WHERE thread = (SELECT thread_key FROM runs WHERE id = ?) ORDER BY seq", (run,)
    )
    return [json.loads(line) for (line,) in rows]


class Branch:
    def __init__(self, history):
        self.history = list(history)
        self.reply = None  # one that is in no message yet: (agent, text)
        self.edited = {}  # calls with a person's arguments, and these
        self.round = None  # the calls of a round that goes on, their results, and who made them

    def say(self, who, text, **more):
        self.history.append({"from": who, "text": text, **more})

    def end_reply(self):
        if self.reply:
            self.say(*self.reply)
            self.reply = None

    def settle(self, result):
        agent, calls, results = self.round
        results[result["call"]] = {"status": result["status"], "output": result["output"]}
        if all(call in results for call in calls):
            self.say(agent, "", results=[results[call] for call in calls])
            self.round = None

    def settle_rest(self, started):
        """What the end of a run or a branch leaves open: each call has its one result."""
        if self.round:
            for call in self.round[1]:
                if self.round and call not in self.round[2]:
                    effect = started.get(call)
                    output = NOT_RUN if effect is None else UNKNOWN if effect == "once" else CANCELLED
                    self.settle({"call": call, "status": "error", "output": output})


def author(who):
    if isinstance(who, str):
        return who
    return next(iter(who.values())) or "assistant"


def as_ours(said):
    """A message of a log or a thread."""
    message = {"from": author(said["from"]), "text": "".join(part["text"] for part in said.get("parts", []))}
    if calls := said.get("calls"):
        message["calls"] = [{"tool": call["tool"], "arguments": call["arguments"]} for call in calls]
    if results := said.get("results"):
        message["results"] = [{"status": result["status"], "output": result["output"]} for result in results]
    return message


def fold(log, thread=()):
    """The branches of a run after its events; `thread` has the messages of its thread."""
    first = log[0]

    def begin(pinned):
        pinned = pinned or {"messages": 0}
        said = pinned.get("said") or list(thread)[: pinned["messages"]]
        assert len(said) == pinned["messages"], "the messages that the run began with are there"
        branch = Branch([as_ours(message) for message in [*said, *first.get("history", [])]])
        branch.say("user", first["input"])
        return {0: branch}

    branches = {0: Branch([])} if "queued" in first else begin(first.get("pinned"))
    waits, started = {}, {}
    for event in log[1:]:
        branch = branches.get(event.get("branch", 0))
        match event["type"]:
            case "begun" if "queued" in first and event["seq"] == 2:
                branches = begin(event.get("pinned"))
            case "call_started" if event["kind"] == "tool":
                started[event["call"]] = event["effect"]
            case "model_replied":
                branch.reply = (event["agent"], event["reply"]["text"])
            case "round_started":
                agent, text = branch.reply
                branch.reply = None
                calls = event["calls"]
                branch.say(agent, text, calls=[{"tool": c["tool"], "arguments": c["arguments"]} for c in calls])
                branch.round = (agent, [c["call"] for c in calls], {})
                for call in calls:
                    if "settled" in call:
                        branch.settle(call["settled"])
            case "tool_returned":
                result = event["result"]
                if arguments := branch.edited.get(result["call"]):
                    result = {**result, "output": EDITED.format(arguments) + result["output"]}
                branch.settle(result)
            case "handed_off":
                branch.end_reply()
            case "forked":
                branch.end_reply()
                for child, _ in event["branches"]:
                    branches[child] = Branch(branch.history)
            case "joined":
                branch.say(event["group"], event["output"])
            case "branch_ended":
                branch.end_reply()
                branch.settle_rest(started)
            case "wait_opened":
                waits[event["wait"]] = (branch, event["for"])
                if event["for"]["kind"] == "answer":
                    branch.end_reply()
            case "answered":
                branch, what = waits.pop(event["wait"])
                answer = event["answer"]
                if answer["kind"] == "text":
                    branch.say("user", answer["text"])
                elif answer["kind"] == "edit":
                    shown = json.dumps(answer["arguments"], ensure_ascii=False, separators=(",", ":"))
                    branch.edited[what["call"]] = shown if len(shown) <= 2000 else shown[:2000] + "..."
                elif answer["kind"] == "done":
                    branch.settle({"call": what["call"], "status": "success", "output": answer["output"]})
                elif answer["kind"] == "fail":
                    branch.settle({"call": what["call"], "status": "error", "output": UNKNOWN})
            case "run_ended":
                for branch in branches.values():
                    branch.end_reply()
                    branch.settle_rest(started)
    return branches


def main(file, run=None, what=None):
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    (application,) = db.execute("PRAGMA application_id").fetchone()
    assert application == 0x426F6174, "not a journal"
    if run is None:
        for run, state, seq in db.execute("SELECT id, state, seq FROM runs ORDER BY created_at, id"):
            log = [json.loads(line) for line in events(db, run)]
            assert len(log) == seq, f"{run} has {len(log)} events, its row says {seq}"
            assert (log[-1]["type"] == "run_ended") == (state not in ("queued", "running", "paused")), run
            print(run, state, seq, len(fold(log, thread(db, run))[0].history))
    elif what == "events":
        print("\n".join(events(db, run)))
    else:
        for message in fold([json.loads(line) for line in events(db, run)], thread(db, run))[0].history:
            print(json.dumps(message, ensure_ascii=False, sort_keys=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
