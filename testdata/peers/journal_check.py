"""Compares what journal.py makes of logs with what Boathouse makes of them: python3 journal_check.py STATE.json..."""

import json
import sys

import journal


def as_ours(message):
    """A message of a folded state in the form of journal.py."""
    ours = {"from": journal.author(message["from"]), "text": "".join(part["text"] for part in message.get("parts", []))}
    if calls := message.get("calls"):
        ours["calls"] = [{"tool": call["tool"], "arguments": call["arguments"]} for call in calls]
    if results := message.get("results"):
        ours["results"] = [{"status": result["status"], "output": result["output"]} for result in results]
    return ours


for file in sys.argv[1:]:
    with open(file.replace(".state.json", ".jsonl"), encoding="utf-8") as lines:
        head, *log = [json.loads(line) for line in lines]
    assert head["type"] == "boathouse_log", file
    with open(file, encoding="utf-8") as text:
        state = json.load(text)
    branches = journal.fold(log)
    for branch in state["branches"]:
        ours, theirs = branches[branch["branch"]].history, [as_ours(said) for said in branch["history"]]
        assert ours == theirs, f"{file}, branch {branch['branch']}:\n{ours}\n{theirs}"
    assert len(branches) == len(state["branches"]), file
print(f"{len(sys.argv) - 1} logs read by the page alone")
