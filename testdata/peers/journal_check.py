"""Compares what journal.py makes of logs with what Boathouse makes of them: python3 journal_check.py STATE.json..."""

import json
import sys

import journal


for file in sys.argv[1:]:
    with open(file.replace(".state.json", ".jsonl"), encoding="utf-8") as lines:
        head, *log = [json.loads(line) for line in lines]
    assert head["type"] == "boathouse_log", file
    with open(file, encoding="utf-8") as text:
        state = json.load(text)
    branches = journal.fold(log)
    for branch in state["branches"]:
        ours, theirs = branches[branch["branch"]].history, [journal.as_ours(said) for said in branch["history"]]
        assert ours == theirs, f"{file}, branch {branch['branch']}:\n{ours}\n{theirs}"
    assert len(branches) == len(state["branches"]), file
print(f"{len(sys.argv) - 1} logs read by the page alone")
