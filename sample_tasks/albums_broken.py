"""Albums of pictures, the broken twin of `albums`: the chord's body adds to what it finds, so that running twice it counts twice.

A body is a message like any other: a worker that dies before its acknowledgement has it delivered, and run, again. That is a
crash of the body itself (`albums.ready` at before_ack), and it counts twice each time.

A crash of the header's last task at its own before_ack counts twice only sometimes. The task runs again, but does not publish
the body again: Celery 5.7's Redis backend counts a header task once, and marks a chord as done once its body was sent
(celery/backends/redis.py, CHORD_PART_RETURN_LUA). The body was published before that acknowledgement, though, and where the
same worker has a free slot it is there, and has often begun, when the kill comes. Whether it had committed by then is a race of
milliseconds: if it had, its next delivery adds to what it finds. A worker with one slot (concurrency 1, prefetch 1) fetches no
body before the header's last task is acknowledged.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from celery import Celery

app = Celery("albums", broker=os.environ.get("BROKER_URL", "redis://localhost:6379/0"))
app.conf.update(
    task_default_queue="albums",
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)


def database() -> sqlite3.Connection:
    """One connection per task: SQLite connections don't survive a fork."""
    return sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20)


@app.task(name="albums.thumbnail")
def thumbnail(picture: str) -> str:
    """Write one thumbnail, whole or not at all."""
    time.sleep(0.05)
    place = Path(os.environ["ALBUM_DIR"]) / f"{picture}.thumb"
    draft = place.with_suffix(f".{os.getpid()}")
    draft.write_text(f"thumbnail of {picture}\n")
    draft.replace(place)
    return picture


@app.task(name="albums.ready")
def ready(pictures: list[str], album: str) -> int:
    """Note that the album is ready, and count its pictures."""
    with closing(database()) as db, db:
        counted = "ON CONFLICT (name) DO UPDATE SET pictures = pictures + excluded.pictures"
        db.execute(f"INSERT INTO albums (name, pictures) VALUES (?, ?) {counted}", (album, len(pictures)))
    return len(pictures)
