"""A user's application whose tasks have one kind of effect each; it knows nothing of any harness."""

import asyncio
import ctypes
import fcntl
import http.client
import mmap
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import datetime

import redis
from celery import Celery
from celery.exceptions import Ignore, Reject

app = Celery("mill", broker=os.environ["MILL_BROKER"])
app.conf.update(task_acks_late=True, task_ignore_result=True, task_default_queue="mill")
here = os.environ["MILL_FOLDER"]
ran = []
drawn = os.urandom(8).hex()


def path(name):
    return os.path.join(here, name)  # line of path


def append(name, text):
    with open(path(name), "a") as stream:
        stream.write(text)


@app.task
def nothing():
    pass


@app.task(bind=True)
def tell_process(self):
    return [drawn, "".join(set("abcdefghijkl")), self.request.hostname]


@app.task
def write_and_rename(text):
    with open(path("sheet.tmp"), "w") as stream:
        stream.write(text)  # line of write
    os.rename(path("sheet.tmp"), path("sheet.txt"))  # line of rename


@app.task
def copy():
    append("from.txt", "x")
    shutil.copyfile(path("from.txt"), path("to.txt"))


@app.task
def insert(number, journal="delete"):
    connection = sqlite3.connect(path("mill.sqlite3"))
    connection.execute(f"pragma journal_mode={journal}").fetchone()
    connection.execute("create table if not exists sacks (number integer)")
    connection.execute("insert into sacks values (?)", (number,))
    connection.commit()
    connection.close()


@app.task
def count():
    store = redis.Redis.from_url(os.environ["MILL_STORE"])
    store.incr("sacks:7")
    with store.pipeline() as pipeline:
        pipeline.set("a", 1).set("b", 2).execute()


@app.task
def post():
    host, _, port = os.environ["MILL_API"].partition(":")
    client = http.client.HTTPConnection(host, int(port))
    client.request("POST", "/charges?x=1", b'{"amount": 7}', {"Content-Type": "application/json"})
    client.getresponse().read()


@app.task
def post_with_httpx():
    import httpx

    httpx.post("http://" + os.environ["MILL_API"] + "/charges", json={"amount": 7}, trust_env=False)


@app.task
def in_a_shell():
    subprocess.run(["/bin/sh", "-c", "echo x > sub.txt; rm sub.txt"], cwd=here, check=True)


@app.task
def in_a_thread():
    thread = threading.Thread(target=append, args=("thread.txt", "x"))
    thread.start()
    thread.join()


@app.task
def in_a_fork():
    child = os.fork()
    if child == 0:
        append("fork.txt", "x")
        os._exit(0)
    os.waitpid(child, 0)
    with open(path("fork.txt")) as stream:
        return stream.read()


def hold(name):
    """A lock, and memory that the kernel needs a while to take back."""
    lock = os.open(path(name), os.O_WRONLY | os.O_CREAT)
    fcntl.lockf(lock, fcntl.LOCK_EX)
    memory = mmap.mmap(-1, 1 << 28, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(15)  # MADV_NOHUGEPAGE: many small pages
    memory[::4096] = b"x" * (1 << 16)
    os.write(lock, b"held")
    return memory


@app.task
def hold_a_lock(in_a_fork):
    if in_a_fork and (child := os.fork()):
        os.waitpid(child, 0)
        return
    held = hold("lock.txt")
    append("lock.log", "x" * (len(held) > 0))
    if in_a_fork:
        os._exit(0)


@app.task
def two_threads():
    done = threading.Event()

    def busy():
        while not done.is_set():
            sum(range(1000))

    other = threading.Thread(target=busy)
    other.start()
    append("busy.txt", "x")
    done.set()
    other.join()


@app.task
def by_memory():
    with open(path("map.bin"), "w+b") as stream:
        stream.truncate(4096)
        with mmap.mmap(stream.fileno(), 4096) as memory:
            memory[0] = 7


@app.task
def read_and_give_to_a_program():
    with open(os.path.join(os.path.dirname(__file__), "prices.txt")) as stream:
        stream.read()
    subprocess.run(["/bin/sh", "-c", "cat helper.txt > /dev/null"], cwd=os.path.dirname(__file__), check=True)


@app.task
def by_memory_made_writable():
    """Mapped to be read, and made writable afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    with open(path("map.bin"), "w+b") as stream:
        stream.truncate(4096)
        where = ctypes.c_void_p(libc.mmap(None, ctypes.c_size_t(4096), 1, 1, stream.fileno(), ctypes.c_long(0)))
        assert libc.mprotect(where, ctypes.c_size_t(4096), 3) == 0
        ctypes.memset(where, 7, 1)


@app.task
def by_calls_that_nobody_can_stop():
    """Whether they succeed or not."""
    libc = ctypes.CDLL(None, use_errno=True)
    submit, ring = {"x86_64": (209, 425), "aarch64": (2, 425)}[os.uname().machine]
    libc.syscall(*(ctypes.c_ulong(value) for value in (submit, 0, 0, 0)))
    assert libc.syscall(*(ctypes.c_ulong(value) for value in (ring, 1, 0))) == -1
    assert ctypes.get_errno() == 38  # ENOSYS: it is refused


@app.task
def by_calls_at_which_nobody_looks():
    """A signal to a process that is not its own; a key, a queue, shared memory, and another view of files, none of which it gets."""
    libc = ctypes.CDLL(None, use_errno=True)
    keyctl, mq_open, shmget, setns = {"x86_64": (250, 240, 29, 308), "aarch64": (219, 180, 194, 268)}[os.uname().machine]
    os.kill(os.getppid(), signal.SIGCONT)
    for call in ((keyctl, 1 << 20), (mq_open, 0, os.O_CREAT), (shmget, 0, 0, 0o1000), (setns, 1 << 20, 0)):
        assert libc.syscall(*(ctypes.c_ulong(value) for value in call)) == -1


@app.task
def signals_to_its_own():
    os.kill(os.getppid(), 0)
    os.kill(os.getpid(), signal.SIGCONT)
    signal.raise_signal(signal.SIGCHLD)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as own, subprocess.Popen(["sleep", "60"]) as other:
        os.killpg(own.pid, signal.SIGTERM)
        other.kill()


@app.task
def by_sockets_that_nobody_sees_connect():
    for family, kind in ((17, socket.SOCK_RAW), (socket.AF_INET, socket.SOCK_RAW)):
        try:
            socket.socket(family, kind, 0x0300 if family == 17 else socket.IPPROTO_UDP)
        except PermissionError:
            continue
        raise AssertionError("it was made")


@app.task
def by_another_name():
    with open(path("first (deleted)"), "w", buffering=1) as stream:
        os.link(path("first (deleted)"), path("second"))
        os.unlink(path("first (deleted)"))
        stream.write("x\n")
        os.unlink(path("second"))
        stream.write("nobody sees it\n")


@app.task
def unseen():
    print("grinding")
    sys.stderr.write("still grinding\n")
    _, writing = os.pipe()
    os.write(writing, b"x")
    one, other = socket.socketpair()
    one.sendall(b"x")
    other.recv(1)
    stream = open(path("buffered.txt"), "a")  # noqa: SIM115
    stream.write("never flushed")
    ran.append(stream)
    with open("/dev/null", "w") as null:
        null.write("x")


@app.task
def call_out(host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return "refused"


@app.task
def call_out_unseen_by_python(port):
    """As a C library does it: nothing that Python could know of."""
    subprocess.run(["/bin/bash", "-c", f"echo x > /dev/tcp/127.0.0.1/{port}"], check=False, stderr=subprocess.DEVNULL)


@app.task
def datagram(port, way):
    """As a C library sends one."""
    import ctypes
    import struct

    libc = ctypes.CDLL(None, use_errno=True)
    address = ctypes.create_string_buffer(struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton("127.0.0.1")), 16)
    descriptor = libc.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    text = ctypes.create_string_buffer(b"x", 1)
    if way == "sendto":
        sent = libc.sendto(descriptor, text, 1, 0, address, 16)
    elif way == "connected":
        libc.connect(descriptor, address, 16)
        sent = libc.send(descriptor, text, 1, 0)
    else:
        vector = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(text), 1), 16)
        named = struct.pack("=QI4xQQQQi4x", ctypes.addressof(address), 16, ctypes.addressof(vector), 1, 0, 0, 0)
        header = ctypes.create_string_buffer(named + bytes(8), 64)
        sent = libc.sendmsg(descriptor, header, 0) if way == "sendmsg" else libc.sendmmsg(descriptor, header, 1, 0)
    return [sent, ctypes.get_errno()]


@app.task
def leave():
    append("left.txt", "x")
    os._exit(3)


@app.task
def step_down():
    sys.exit(1)


@app.task
def turn_for_ever():
    append("turning.txt", "x")
    while True:
        pass


@app.task
def wait_for_ever():
    while True:
        time.sleep(86400)


@app.task
def tell_time():
    in_sqlite = sqlite3.connect(":memory:").execute("select strftime('%s', 'now')").fetchone()[0]
    child = os.popen("date +%s").read()
    return [time.time(), datetime.now().timestamp(), int(in_sqlite), time.monotonic(), int(child)]


@app.task
def sleep(seconds):
    wall, running = time.time(), time.monotonic()
    time.sleep(seconds)
    return [time.time() - wall, time.monotonic() - running]


@app.task
def sleep_in_asyncio(seconds):
    wall = time.time()
    asyncio.run(asyncio.sleep(seconds))
    return time.time() - wall


@app.task
def sleep_until_later(seconds, step):
    end, turns = time.time() + seconds, 0
    while time.time() < end:
        time.sleep(step)
        turns += 1
    return turns


@app.task
def wait_for_lock(seconds):
    """A lock that nobody gives back, with a time limit, while another thread waits as well."""
    before = time.monotonic()
    lock = threading.Lock()
    lock.acquire()
    got = lock.acquire(timeout=seconds)
    return [got, time.monotonic() - before]


@app.task
def sleep_then_wait_for_lock(seconds, limit):
    time.sleep(seconds)
    return wait_for_lock.run(limit)


@app.task
def remember():
    ran.append(os.getpid())
    return len(ran)


@app.task(bind=True, max_retries=3)
def again(self):
    append("again.txt", "x")
    raise self.retry(exc=ValueError("not yet"), countdown=20)


@app.task
def fail():
    append("failed.txt", "x")
    return deeper()


def deeper():
    raise LookupError("no such sack")  # line of fail


@app.task
def reject():
    raise Reject("not wanted", requeue=True)


@app.task
def ignore():
    raise Ignore


@app.task
def many(number):
    for _ in range(number):
        os.write(1, b"")  # never a stop: our own log
        os.close(os.open(path("many"), os.O_CREAT | os.O_WRONLY))  # line of many


@app.task
def leave_behind():
    """A program that writes when the task has ended long ago."""
    subprocess.Popen(["/bin/sh", "-c", "sleep 0.2; echo x > behind.txt"], cwd=here, start_new_session=True)
