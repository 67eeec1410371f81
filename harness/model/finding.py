"""What a check names: one of thirteen words, the tasks it happened to, and the line where known."""

from __future__ import annotations

from enum import Enum

from pydantic import BaseModel, ConfigDict, Field

from harness.model.verdict import Verdict

__all__ = ["EXPLANATIONS", "CheckResult", "Finding", "Step", "Story", "Word", "WorldCell"]


class Word(str, Enum):
    """The findings table of the design: one meaning each."""

    LOST = "LOST"
    STRANDED = "STRANDED"
    DUPLICATED = "DUPLICATED"
    EFFECT = "EFFECT"
    PARTIAL = "PARTIAL"
    STUCK = "STUCK"
    STORM = "STORM"
    RETRY = "RETRY"
    STATE = "STATE"
    BODY = "BODY"
    PUBLISH = "PUBLISH"
    LEAK = "LEAK"
    SLOW = "SLOW"

    def __str__(self) -> str:
        return self.value


#: word -> (what it means, how it usually comes about, what usually fixes it); `celery-harness explain WORD`.
EXPLANATIONS: dict[Word, tuple[str, str, str]] = {
    Word.LOST: (
        "Acknowledged, rejected or gone from the broker without having ended.",
        "Early acknowledgement (the default): the message is acked before the task runs, so a killed worker takes it along. "
        "On Redis also a message that was popped but not yet written to `unacked` (then it says: never delivered), on RabbitMQ one "
        "that was published without confirms and never arrived.",
        "Set acks_late=True (and task_reject_on_worker_lost=True) on a task that is safe to run twice.",
    ),
    Word.STRANDED: (
        "The broker still holds it at the end of the drain, and nobody will run it before a timeout that is named.",
        "A worker died holding the message; Redis gives it back only after the visibility timeout, and then at the next restore sweep.",
        "On Redis, set broker_transport_options={'visibility_timeout': ...} to a little more than the longest task, and watch `unacked`.",
    ),
    Word.DUPLICATED: (
        "A delivery that no crash, rejection, lost connection or injected copy explains.",
        "A task or countdown longer than the visibility timeout: Redis hands the message to a second worker while the first still has it. "
        "Or a worker that lost its connection, and goes on while the broker has the task run again.",
        "Keep tasks and countdowns shorter than the visibility timeout, or raise it.",
    ),
    Word.EFFECT: (
        "The world differs from what the calls' fates allow.",
        "An effect that cannot be rolled back (an HTTP call, a mail, a file) happened again when the message was delivered again.",
        "Give the effect a key that is the same on every delivery, or record it in the same transaction as the state it belongs to.",
    ),
    Word.PARTIAL: (
        "A call that failed left some of its effects.",
        "Several effects without a transaction, and an exception between them.",
        "One transaction, or an outbox, or a compensating action.",
    ),
    Word.STUCK: (
        "No progress although work and workers are there.",
        "A status row or lock that a killed attempt left behind and that the next attempt refuses to pass.",
        "A lease with expiry (or a fencing token) instead of a flag.",
    ),
    Word.STORM: (
        "Redelivery or retry without bound, synchronised beyond the policy, or so much of it that the backlog does not drain.",
        "reject_on_worker_lost with a task that kills its worker; retries without backoff or jitter.",
        "Bound the attempts, back off exponentially, add jitter and a retry budget, dead-letter what keeps failing.",
    ),
    Word.RETRY: (
        "Count, spacing, exceptions or total budget of retries outside the policy.",
        "A manual self.retry() ignores retry_backoff and waits default_retry_delay (180 s); except Exception retries the hopeless as well.",
        "Use autoretry_for with the exceptions that can heal, retry_backoff, retry_jitter and max_retries.",
    ),
    Word.STATE: (
        "The result backend, or an API in front of it, disagrees with the history.",
        "The backend was away when the task ended, or the result expired.",
        "Set result_expires to outlast the reader; retry the backend; treat PENDING as unknown, not as waiting.",
    ),
    Word.BODY: (
        "A chord's body ran other than once.",
        "The last header task was delivered twice, or its result was lost.",
        "Make the body idempotent; use a backend with native chord counters; keep results long enough.",
    ),
    Word.PUBLISH: (
        "A publish that was reported wrongly, blocked or dropped.",
        "No socket timeout, no confirm, or an exception after the broker had accepted the message.",
        "Set socket timeouts and publisher confirms, and make the publish itself idempotent.",
    ),
    Word.LEAK: (
        "Something left behind: a lock, a file, a connection.",
        "A killed process runs no finally block.",
        "Locks with expiry, temporary files that are renamed into place, connections with timeouts.",
    ),
    Word.SLOW: (
        "A threshold missed.",
        "Too few workers for the load, a prefetch that hoards, or a fault that recovery does not outrun.",
        "Look at the run's charts: which window, which queue, which worker.",
    ),
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(_Frozen):
    """One row of a story. ``at`` is in seconds since the load began; ``kind`` drives the drawing."""

    at: float
    kind: str = Field(
        description="publish, deliver, start, end, retry, ack, reject, crash, fault, effect, effect_again, repeat (recognised by its key), "
        "wait, lost, held"
    )
    lane: str = Field(description="caller, broker, a worker's name, or a store's name")
    to: str = Field(default="", description="the lane that the arrow points to, if any")
    text: str
    note: str = ""
    line: int | None = Field(default=None, description="line of the story's source that was running, if known")
    delivery: int = Field(default=0, description="which delivery of the task this belongs to, from 1; 0: none")


class WorldCell(_Frozen):
    """One thing in the world of the offender: before, after, and what it should have been."""

    name: str
    before: str
    after: str
    expected: str
    wrong: bool


class SourceLine(_Frozen):
    """One line of the user's source as it was on disk during the run."""

    number: int
    code: str


class Story(_Frozen):
    """How one offender came about: steps in order, source around the guilty line, and its world."""

    title: str
    task_id: str
    task: str
    steps: tuple[Step, ...]
    world: tuple[WorldCell, ...] = ()
    file: str = ""
    line: int | None = None
    source: tuple[SourceLine, ...] = ()


class Finding(_Frozen):
    """One named problem and all tasks that show it (the same word, cause and line are one finding)."""

    word: Word
    headline: str = Field(description="counted in the user's nouns: 'Two orders were charged twice.'")
    sentence: str = Field(default="", description="how it came about, without jargon")
    cause: str = Field(default="", description="the sub-class, e.g. 'while running', 'never delivered'")
    task: str = ""
    task_ids: tuple[str, ...] = ()
    calls: tuple[int, ...] = Field(default=(), description="numbers of the calls concerned, from 1")
    file: str = ""
    line: int | None = None
    fix: str = ""
    faults: tuple[int, ...] = Field(default=(), description="indices (from 0) of the faults that brought it about")
    story: Story | None = None


class CheckResult(_Frozen):
    """What one check concluded. ``inconclusive`` always says why in ``summary`` and what would help in ``advice``."""

    name: str
    question: str = Field(description="what the check asks, e.g. 'the world is as after one clean delivery'")
    verdict: Verdict
    summary: str = Field(description="one line with figures: '1,500 = 1,497 succeeded + 3 failed'")
    advice: str = ""
    findings: tuple[Finding, ...] = ()
    numbers: dict[str, float] = {}
    ignored: tuple[str, ...] = Field(default=(), description="columns that vary by themselves and were not compared")
    by_fault: tuple[tuple[Verdict | None, str], ...] = Field(
        default=(), description="per fault of the run: (verdict or None for 'not exercised', a few words)"
    )
