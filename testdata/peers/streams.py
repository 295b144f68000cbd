"""Reads a run's stream with httpx-sse and reconnects as its documentation says, until there is nothing more (204).

Prints one JSON value a line: {"open": true} for each connection, {"data": "..."} for each message.
"""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse


def say(value):
    print(json.dumps(value), flush=True)


def main(url):
    last_id = ""
    pause = 0.2
    with httpx.Client(timeout=30) as client:
        while True:
            headers = {"last-event-id": last_id} if last_id else {}
            try:
                with connect_sse(client, "GET", url, headers=headers) as source:
                    if source.response.status_code == 204:
                        return
                    source.response.raise_for_status()
                    say({"open": True})
                    for message in source.iter_sse():
                        last_id = message.id or last_id
                        if message.data:
                            say({"data": message.data})
            except httpx.TransportError:
                pass
            time.sleep(pause)


main(sys.argv[1])
