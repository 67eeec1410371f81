"""A user's application, unaware of any harness."""

import os
import time

from celery import Celery, chain
from celery.exceptions import Ignore, Reject

app = Celery("shop", broker=os.environ.get("OTHER_REDIS", "redis://localhost:1/0"))
app.conf.update(task_default_queue="shop", broker_connection_retry_on_startup=True)
_here = os.environ.get("SHOP_FOLDER", ".")


@app.task
def ok(x=0):
    return x + 1


@app.task
def say(word):
    with open(os.path.join(_here, word), "a") as stream:
        stream.write("said\n")


@app.task
def fail():
    raise ValueError("no such order")  # line of fail


@app.task(bind=True, max_retries=2)
def retry_by_hand(self):
    try:
        raise KeyError("busy")
    except KeyError as exc:
        raise self.retry(exc=exc, countdown=20)


@app.task(autoretry_for=(ConnectionError,), retry_kwargs={"max_retries": 1, "countdown": 20})
def retry_by_itself():
    raise ConnectionError("card API is away")


@app.task(acks_late=True)
def late(x=0):
    return x


@app.task(acks_late=True)
def reject():
    raise Reject("not wanted", requeue=False)


@app.task
def ignore():
    raise Ignore()


@app.task
def nested():
    return ok.delay(7).id


@app.task
def add(x, y):
    return x + y


@app.task
def total(parts):
    return sum(parts)


@app.task(acks_late=True)
def steps(name):
    path = os.path.join(_here, name)
    for number in range(3):
        with open(path, "a") as stream:
            stream.write("step %d\n" % number)  # line of steps
    return name


@app.task
def slow(seconds):
    time.sleep(seconds)


@app.task
def chained():
    chain(add.s(1, 2), add.s(3)).delay()


@app.task
def phone_home(port):
    import socket

    socket.create_connection(("127.0.0.1", port), timeout=2).close()  # line of phone_home


def arguments(rng):
    return ([rng.randrange(1000)], {})


def plain_arguments():
    return ([5], {})


def greeting(name):
    return {"hello": name}


def broken(name):
    raise LookupError("nobody called " + name)
