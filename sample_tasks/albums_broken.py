"""Albums of pictures, the broken twin of `albums`: the chord's body adds to what it finds, so that running twice it counts twice.

A body is a message like any other: a worker that dies before its acknowledgement has it delivered, and run, again.
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
