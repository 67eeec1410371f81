"""``python explore_program.py FOLDER TASK STOP``: explores in a process of its own, which may be killed, or be somebody else's.

Says ``start``, then ``stop N WORDS`` before each effect; at the stop of this number it waits until its input ends. At last ``end OUTCOME``.
The servers are those of the test: FOLDER/launch.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harness.explore.choosing import mechanism_for
from harness.model.exploration import Message, Stop
from harness.ports.exploring import Decision, Job, Launch


def main(folder: Path, wait_at: int) -> None:
    told = json.loads((folder / "launch.json").read_text())
    services = {(host, port): name for host, port, name in told["services"]}
    here = Path(told["folder"])
    launch = Launch(told["command"], told["environment"], here, here, folder / "own.log", services, {folder / "data": "files"})
    stops = mechanism_for(told["points"], launch)
    message = Message(told["raw"]["headers"]["id"], told["raw"]["headers"]["task"], 0, False, 0.0, told["raw"])

    def stopped(stop: Stop) -> Decision:
        print("stop", stop.number, stop.words, flush=True)
        if stop.number == wait_at:
            sys.stdin.read()
        return Decision.GO_ON

    try:
        stops.start()
        print("start", flush=True)
        print("end", stops.deliver(Job(message), stopped).outcome.value, flush=True)
    finally:
        stops.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
