"""Everything that can be wrong in a scenario: one clear message at the exact line and column."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from harness.errors import ScenarioError


class Case(NamedTuple):
    """``text``: the sections, with « where the error is expected; ``says``: what the message, hint included, has in it."""

    name: str
    sections: dict[str, str]
    says: tuple[str, ...]


SYSTEM = "system: {{app: 'shop.tasks:app', {}}}"
WHEN = "timeline: [{{when: {{task: shop.pay, {}}}, fault: worker.kill}}]"
PAY = "system: {app: 'shop.tasks:app', workers: {pay: {replicas: 2}}}"


def system(text: str) -> dict[str, str]:
    return {"system": SYSTEM.format(text)}


def item(text: str) -> dict[str, str]:
    return {"load": f"load:\n- {{{text}}}"}


def fault(text: str, more: str = "") -> dict[str, str]:
    return {"system": PAY, "timeline": f"timeline:\n- {{{text}}}\n{more}"}


CASES = [
    # keys
    Case("unknown top-level key", {"more": "«timelin: []"}, ("unknown key `timelin`; did you mean `timeline`?",)),
    Case("key of another level", {"more": "«workers: {}"}, ("unknown key `workers`; it belongs in `system`",)),
    Case(
        "unknown key in system", system("«brokr: redis"), ("unknown key `brokr` in `system`; did you mean `broker`?", "known: app, python")
    ),
    Case(
        "unknown key in a load item", item("send: a, «rat: 5/s, count: 1"), ("unknown key `rat` in item 1 of `load`; did you mean `rate`?",)
    ),
    Case("python's name of `for`", item("send: a, rate: 5/s, count: 1, «duration: 5s"), ("unknown key `duration`",)),
    Case(
        "unknown key in a call",
        item("chain: [{send: a, «arg: [1]}], count: 1"),
        ("unknown key `arg` in item 1 of `chain`; did you mean `args`?",),
    ),
    Case(
        "unknown key in when",
        fault("when: {task: a, «reach: end}, fault: worker.kill"),
        ("unknown key `reach` in `when`; did you mean `reaches`?",),
    ),
    Case(
        "unknown key of a broker",
        system("broker: {kind: redis, «proxi: true}"),
        ("unknown key `proxi` in `broker`; did you mean `proxy`?",),
    ),
    Case(
        "unknown key of a worker group", system("workers: {pay: {«queue: [a]}}"), ("unknown key `queue` in `pay`; did you mean `queues`?",)
    ),
    Case("missing app", {"system": "«system: {broker: redis}"}, ("`app` is missing in `system`",)),
    Case("missing system", {"version": "«version: 1", "system": ""}, ("`system` is missing",)),
    Case("missing broker kind", system("«broker: {proxy: true}"), ("`kind` is missing in `broker`",)),
    Case("missing fault", {"timeline": "timeline: [«{at: 1s}]"}, ("`fault` is missing in item 1 of `timeline`",)),
    # version
    Case(
        "missing version", {"version": "", "system": "«system: {app: 'a:b'}"}, ("`version` is missing", "begin the file with `version: 1`")
    ),
    Case("another version", {"version": "version: «2", "more": "no: 1"}, ("`version` is 1, not the number 2", "reads version 1")),
    Case("version as text", {"version": "version: «'1'"}, ("`version` is 1", "without quotation marks")),
    Case("version true", {"version": "version: «true"}, ("`version` is 1, not `true`",)),
    # types
    Case("text for a list", {"more": "tags: «ci"}, ("`tags` is a list, not `ci`", "put it in brackets: [ci]")),
    Case("list for a mapping", {"system": "system: «[]"}, ("`system` is a mapping, not a list",)),
    Case("nothing for a mapping", {"drain": "«drain:"}, ("`drain` is a mapping, not nothing", "leave the key out for its default")),
    Case("text for a number", {"seed": "seed: «abc"}, ("`seed` is a whole number, not `abc`",)),
    Case("a fraction for a whole number", {"seed": "seed: «1.5"}, ("`seed` is a whole number, not the number 1.5",)),
    Case("below the least", system("workers: {pay: {replicas: «0}}"), ("`replicas` is at least 1, not the number 0",)),
    Case("negative seed", {"seed": "seed: «-1"}, ("`seed` is at least 0",)),
    Case("not a bool", system("broker: {kind: redis, proxy: «maybe}"), ("`proxy` is true or false, not `maybe`",)),
    Case("neither a bool nor a word", system("broker: {kind: redis, tls: «maybe}"), ("`tls` is true, false, wrong_name or expired",)),
    Case("neither text nor mapping", system("broker: «5"), ("`broker` is a mapping or text, not the number 5",)),
    Case("service that is a number", system("services: {db: «5}"), ("`db` is text or a mapping, not the number 5",)),
    Case("arguments that are a number", item("send: a, count: 1, args: «5"), ("`args` is text or a list, not the number 5",)),
    Case("item that is text", {"load": "load: [«send]"}, ("item 1 of `load` is a mapping, not `send`",)),
    Case(
        "words of a choice",
        system("workers: {pay: {pool: «forks}}"),
        ("`pool` is prefork, threads, solo, gevent or eventlet, not `forks`",),
    ),
    Case("near word of a choice", system("workers: {pay: {pool: «prefrok}}"), ("not `prefrok`; did you mean `prefork`?",)),
    Case(
        "unknown runtime",
        {"runtime": "runtime: «process"},
        ("`runtime` is auto, containers or processes, not `process`; did you mean `processes`?",),
    ),
    Case("unknown arrival", item("send: a, count: 1, arrival: «poison"), ("did you mean `poisson`?",)),
    Case("unknown semantics", {"semantics": "semantics: {shop.*: «at_lest_once}"}, ("did you mean `at_least_once`?",)),
    Case("environment number", system("env: {PORT: «08080}"), ("`PORT` is text, not the number 08080", 'quote it: "08080"')),
    Case("environment bool", system("env: {DEBUG: «true}"), ("`DEBUG` is text, not `true`", 'quote it: "true"')),
    Case("environment list", system("env: {A: «[a]}"), ("`A` is text, not a list",)),
    Case("environment name", system('env: {«"A=B": c}'), ("`A=B` cannot name an environment variable",)),
    Case("threshold that is a number", {"thresholds": "thresholds: {latency: [«5]}"}, ("item 1 of `latency` is text, not the number 5",)),
    Case("threshold that is text", {"thresholds": "thresholds: {latency: «p(95) < 2s}"}, ("`latency` is a list, not `p(95) < 2s`",)),
    # units
    Case("duration without a unit", {"drain": "drain: {timeout: «60}"}, ("`timeout`: a duration needs a unit, such as 60s or 60ms",)),
    Case("duration of a wrong unit", {"drain": "drain: {timeout: «5 secs}"}, ("'5 secs' is not a duration", "such as 5s")),
    Case("duration of 0", {"drain": "drain: {timeout: «0s}"}, ("`timeout` is above 0, not `0s`",)),
    Case("rate without a unit", item("send: a, rate: «50, for: 5s"), ("`rate`: 50 is not a rate", "such as 50/s")),
    Case(
        "share without a sign",
        fault("at: 1s, fault: message.duplicate, queue: q, ratio: «0.2"),
        ("`ratio`: 0.2 is not a share", "such as 20%"),
    ),
    Case("retries without a slash", {"time": "time: {retries: «'60'}"}, ("`retries`: `60` does not have the right form", "e.g. /60")),
    Case("retries as a number", {"time": "time: {retries: «60}"}, ("`retries` is text, not the number 60",)),
    Case("retries by 0", {"time": "time: {retries: «/0}"}, ("`retries` cannot divide by 0",)),
    # app and load
    Case("app that is no object", {"system": "system: {app: «shop}"}, ("`app`: 'shop' does not name an object", "module:name")),
    Case("arguments that name no object", item("send: a, count: 1, args: «charges"), ("`args`: 'charges' does not name an object",)),
    Case("empty load", {"load": "load: «[]"}, ("`load` is empty",)),
    Case("missing load", {"version": "«version: 1", "load": ""}, ("`load` is missing",)),
    Case("load of nothing", {"load": "«load:"}, ("`load` is a list, not nothing",)),
    Case("no kind of call", {"load": "load:\n- «{count: 1}"}, ("exactly one of send, chain, group and chord",)),
    Case("two kinds of call", {"load": "load:\n- «{send: a, chain: [{send: b}], count: 1}"}, ("not send and chain",)),
    Case("no size", {"load": "load:\n- «send: a"}, ("`rate` and `for`",)),
    Case("empty chord", item("chord: {header: «[], body: {send: a}}, count: 1"), ("`header` is empty",)),
    Case("wrong item leaves no echo", item("send: a, count: «0"), ("`count` is at least 1",)),
    Case("send of a pattern", item("send: «shop.*, count: 1"), ("`send` takes the full name of one task, not 'shop.*'",)),
    Case("send of a pattern in a chord", item("chord: {header: [{send: a}], body: {send: «b c}}, count: 1"), ("full name of one task",)),
    Case("rate of a burst", item("send: a, arrival: burst, count: 3, «rate: 5/s"), ("a burst has no `rate`",)),
    Case("every of no burst", item("send: a, rate: 5/s, for: 2s, «every: 1s"), ("`every` belongs to arrival: burst",)),
    Case("step without rates", {"load": "load:\n- «{send: a, arrival: step, for: 5s}"}, ("arrival: step needs `rates`",)),
    Case(
        "step with a rate", item("send: a, arrival: step, rates: [1/s], «rate: 1/s, for: 5s"), ("a step has no `rate`: the steps' rates",)
    ),
    Case(
        "spike without a peak",
        {"load": "load:\n- «{send: a, arrival: spike, rate: 1/s, for: 5s}"},
        ("needs `peak` and `peak_at` and `peak_for`",),
    ),
    Case(
        "spike that goes on after the stream",
        item("send: a, arrival: spike, rate: 1/s, for: 5s, peak: 9/s, peak_at: 3s, «peak_for: 3s"),
        ("the peak is over after 6.0 s, the stream after 5.0 s",),
    ),
    Case("ramp of a count", item("send: a, arrival: ramp, rate: 1/s, for: 5s, «count: 3"), ("a ramp has no `count`",)),
    Case("start of no ramp", item("send: a, rate: 1/s, for: 5s, «start_rate: 1/s"), ("`start_rate` belongs to arrival: ramp",)),
    Case("day upside down", item("send: a, arrival: diurnal, rate: 1/s, «low: 2/s, period: 1s, for: 5s"), ("`low` is above `rate`",)),
    Case("peak of a day", item("send: a, arrival: diurnal, rate: 1/s, period: 1s, for: 5s, «peak: 2/s"), ("belongs to arrival: spike",)),
    Case("arrival of a trace without one", {"load": "load:\n- «{send: a, arrival: trace}"}, ("arrival: trace needs `trace`",)),
    Case("trace beside a rate", item("send: a, rate: 1/s, for: 5s, «trace: t.csv"), ("`trace` belongs to arrival: trace",)),
    Case("trace that is not there", item("send: a, arrival: trace, trace: «t.csv"), ("the trace t.csv cannot be read: No such file",)),
    Case("too fast a trace", item("send: a, arrival: trace, trace: t.csv, speed: «9000"), ("`speed` is at most 1000",)),
    Case("no publisher", item("send: a, count: 1, publishers: «0"), ("`publishers` is at least 1",)),
    Case("prepared chain", item("chain: [{send: a}], count: 1, «prepare: true"), ("a chain cannot be prepared",)),
    *(
        Case(f"prepared {key}", item(f"send: a, count: 1, prepare: true, «{key}: 1s"), (f"`{key}` counts from the publish",))
        for key in ("countdown", "eta", "expires")
    ),
    Case("too many prepared", item("send: a, rate: 10000/s, for: 60s, «prepare: true"), ("about 600,000 messages would be prepared",)),
    Case("countdown beside a chain", item("chain: [{send: a}], count: 1, «countdown: 1s"), ("`countdown` belongs to the single calls",)),
    Case("too many calls", {"load": "«load: [{send: a, rate: 1000/ms, for: 1h}]"}, ("3,600,000,000 calls; at most 10,000,000",)),
    # names
    Case(
        "unknown broker", system("broker: «reddis"), ("no broker of the kind `reddis`; did you mean `redis`?", "known: rabbitmq and redis")
    ),
    Case("unknown broker, long form", system("broker: {kind: «rabbit}"), ("did you mean `rabbitmq`?",)),
    Case("unknown backend", system("backend: «mongo"), ("no backend of the kind `mongo`",)),
    Case("unknown service", system("services: {db: «sqlit}"), ("no service of the kind `sqlit`; did you mean `sqlite`?",)),
    Case("unknown service, long form", system("services: {db: {«htpp: {}}}"), ("did you mean `http`?",)),
    Case(
        "service of two kinds", system("services: {db: «{http: {}, redis: {}}}"), ("one kind, not `http` and `redis`", "write `db: sqlite`")
    ),
    Case("service of no kind", system("services: {db: «{}}"), ("a service has a kind, not nothing",)),
    Case("service named broker", system("services: {«broker: sqlite}"), ("cannot be called `broker`",)),
    Case(
        "service named like a replica",
        {"system": "system: {app: 'a:b', workers: {pay: {}}, services: {«pay-1: sqlite}}"},
        ("a service and a worker",),
    ),
    Case(
        "unknown key of a service",
        system("services: {api: {http: {«statu: 500}}}"),
        ("unknown key `statu` in the service `api` (http)", "`status`?"),
    ),
    Case("bad value of a service", system("services: {api: {http: {status: «99}}}"), ("`status` is at least 100",)),
    Case("service named as the setup's container", system("services: {«call: sqlite}"), ("a service cannot be called `call`",)),
    Case("service named toxiproxy in capitals", system("services: {«Toxiproxy: sqlite}"), ("cannot be called `Toxiproxy`",)),
    Case("group named as the setup's container", system("workers: {«call: {}}"), ("a worker group cannot be called `call`",)),
    Case(
        "service as a replica in other words",
        {"system": PAY.replace("app'", "app', services: {«Pay_2: sqlite}")},
        ("the same host, `pay-2`", "pay-2"),
    ),
    Case(
        "services that are one host",
        system("services: {card_api: sqlite, «Card-API: sqlite}"),
        ("services `card_api` and `Card-API`", "`card-api`"),
    ),
    Case("groups that are one host", system("workers: {a_b: {}, «a-b: {}}"), ("groups `a_b` and `a-b`", "the same host, `a-b-1`")),
    Case("service without a letter", system("services: {«__: sqlite}"), ("`__` cannot name a service: it has no letter",)),
    Case("service with a long name", system(f"services: {{«{'x' * 61}: sqlite}}"), ("at most 60 characters",)),
    Case("group named backend", system("workers: {«backend: {}}"), ("cannot be called `backend`",)),
    Case("group like a replica", system("workers: {pay: {}, «pay-2: {}}"), ("cannot be told from replica 2 of the group `pay`",)),
    Case("group with a space", system("workers: {«a b: {}}"), ("cannot name a worker group",)),
    Case("no workers", system("workers: «{}"), ("no workers",)),
    # checks
    Case(
        "unknown check", {"checks": "checks: {«no_los: {}}"}, ("no check `no_los`; did you mean `no_loss`?", "known: idempotent, no_loss")
    ),
    Case(
        "unknown key of a check",
        {"checks": "checks: {idempotent: {«obsrve: []}}"},
        ("unknown key `obsrve` in the check `idempotent`", "`observe`?"),
    ),
    Case("missing key of a check", {"checks": "checks: {recovery: «{}}"}, ("`within` is missing in the check `recovery`",)),
    Case("bare check lacks a key", {"checks": "checks:\n  «recovery:"}, ("`within` is missing in the check `recovery`",)),
    Case(
        "key of a policy",
        {"checks": "checks: {retry_policy: {shop.*: {«max_retry: 3}}}"},
        ("unknown key `max_retry` in `shop.*`", "`max_retries`?"),
    ),
    Case("check that is text", {"checks": "checks: {no_loss: «yes}"}, ("`no_loss` is a mapping, not `yes`",)),
    Case(
        "observes no service",
        {"checks": "checks: {idempotent: {observe: [«db]}}"},
        ("no service `db` to observe", "`system.services` has none"),
    ),
    Case("thresholds as a check", {"checks": "checks: {«thresholds: {}}"}, ("stands at the top level",)),
    # faults
    Case("unknown fault", fault("at: 1s, fault: «worker.kil"), ("no fault `worker.kil`; did you mean `worker.kill`?",)),
    Case("last part of a fault", fault("at: 1s, fault: «duplicate"), ("did you mean `message.duplicate`?",)),
    Case(
        "unknown key of a fault",
        fault("at: 1s, fault: worker.kill, «targt: pay"),
        ("unknown key `targt` in `worker.kill`; did you mean `target`?",),
    ),
    Case("planning key misspelt", fault("at: 1s, fault: worker.kill, «whn: 1"), ("did you mean `when`?",)),
    Case("rule of a fault", {"timeline": "timeline:\n- «{at: 1s, fault: message.duplicate, queue: q}"}, ("needs `ratio` or `count`",)),
    Case("neither at nor when", {"timeline": "timeline:\n- «{fault: worker.kill}"}, ("either `at` a time or `when`",)),
    Case(
        "both at and when", {"timeline": "timeline:\n- «{at: 1s, when: {task: a}, fault: worker.kill}"}, ("either `at` a time or `when`",)
    ),
    Case(
        "unknown target",
        fault("at: 1s, fault: worker.kill, target: «pai"),
        ("no worker group or replica `pai`; did you mean `pay`?", "known: pay"),
    ),
    Case("replica that is not there", fault("at: 1s, fault: worker.kill, target: «pay-3"), ("no worker group or replica `pay-3`",)),
    Case("worker fault on the broker", fault("at: 1s, fault: worker.kill, target: «broker"), ("hits workers, and `broker` is none",)),
    Case("target without a backend", fault("at: 1s, fault: any.hit, target: «backend"), ("no worker, broker or service `backend`",)),
    Case("side of a partition", fault("at: 1s, fault: net.partition, between: [pay, «brokr]"), ("`brokr`; did you mean `broker`?",)),
    Case(
        "unknown point",
        fault("when: {task: a, reaches: «strat}, fault: worker.kill"),
        ("no point `strat`; did you mean `start`?", "orders.py:41"),
    ),
    Case("line 0", fault("when: {task: a, reaches: «'a.py:0'}, fault: worker.kill"), ("no point `a.py:0`",)),
    Case("task pattern of two words", fault("when: {task: «a b}, fault: worker.kill"), ("is not a task's name or pattern",)),
    Case("nth of 0", fault("when: {task: a, nth: «0}, fault: worker.kill"), ("`nth` is at least 1",)),
    Case("call that is not made", fault("when: {task: a, call: «11}, fault: worker.kill"), ("there is no call 11", "makes 10")),
    Case("fault that needs an event", fault("«at: 1s, fault: task.crash"), ("`task.crash` needs `when`",)),
    Case("child at an ack", fault("when: {task: a, reaches: «after_ack}, fault: worker.kill_child"), ("in the worker's main process",)),
    Case(
        "child of a pool without",
        {"system": "system: {app: 'a:b', workers: {w: {pool: solo}}}", "timeline": "timeline: [{at: 1s, fault: «worker.kill_child}]"},
        ("`worker.kill_child` needs the pool prefork, not solo",),
    ),
    # placeholders
    Case(
        "placeholder of no service",
        system("env: {URL: «'${{ dbb.url }}'}, services: {db: sqlite}"),
        ("no service `dbb`; did you mean `db`?",),
    ),
    Case(
        "placeholder of no key",
        system("env: {URL: «'x${{ db.ulr }}'}, services: {db: sqlite}"),
        ("`db` offers no `ulr`; did you mean `url`?",),
    ),
    Case(
        "path of http", system("env: {P: «'${{ api.path }}'}, services: {api: http}"), ("offers no `path`", "it offers url, host and port")
    ),
    Case("backend that is not there", system("env: {P: «'${{ backend.url }}'}"), ("no service `backend`",)),
    Case("placeholder without a dot", system("env: {P: «'${{ db }}'}"), ("write a service and what it offers",)),
    Case("placeholder that is open", system("env: {P: «'${{ db.url'}"), ("is not closed",)),
    Case("service outside of env", {"description": "description: «'${{ db.url }}'"}, ("known only in `system.env`",)),
    Case("placeholder in a key", {"more": "semantics: {«'${{ matrix.a }}': at_most_once}"}, ("in values only",)),
    Case("no matrix", system("broker: «'${{ matrix.broker }}'"), ("the matrix has no `broker`", "the file has no `matrix`")),
    Case("misspelt matrix", {"more": "matrix: {size: [1]}", "seed": "seed: «${{ matrix.sise }}"}, ("did you mean `size`?",)),
    Case("service like matrix", {"more": "matrix: {size: [1]}", "seed": "seed: «${{ matrx.size }}"}, ("did you mean `matrix.size`?",)),
    Case(
        "error in the matrix's value",
        {"more": "matrix: {n: [1, «x]}", "seed": "seed: ${{ matrix.n }}"},
        ("`seed` is a whole number, not `x`",),
    ),
    Case(
        "list inside of a text",
        {"more": "matrix: {n: [[1]]}", "tags": "tags: [«'a${{ matrix.n }}']"},
        ("is a list: it cannot stand inside",),
    ),
    # times
    Case(
        "drain shorter than redelivery",
        {"system": "system: {app: 'a:b', redelivery: 30s}", "drain": "drain: {timeout: «20s}"},
        ("a drain of 20.0 s ends before redelivery (30.0 s and 2.0 s until the next sweep), set at", "orders.yaml:2:34"),
    ),
    Case(
        "drain as long as redelivery and sweep",
        {"system": "system: {app: 'a:b', redelivery: 58s}", "drain": "drain: {timeout: «60s}"},
        ("ends before",),
    ),
    Case("redelivery longer than the usual drain", {"system": "system: {app: 'a:b', redelivery: «1h}"}, ("`drain.timeout` is not set",)),
    Case(
        "drain shorter than a countdown",
        {**item("send: a, count: 1, countdown: 10s"), "drain": "drain: {timeout: «10s}"},
        ("ends before a countdown or eta (10.0 s), set at", "orders.yaml:4:34"),
    ),
    Case(
        "drain shorter than a chain's countdowns", item("chain: [{send: a, countdown: «30s}, {send: b, eta: 40s}], count: 1"), ("(70.0 s)",)
    ),
    Case(
        "drawn by what is no name",
        {"explore": "explore: [{task: a, args: «typs}]"},
        ("'typs' is nothing to draw arguments from: write types, or module:strategy",),
    ),
    Case(
        "examples of what is written out",
        {"explore": "explore: [«{task: a, args: [7], examples: 3}]"},
        ("`examples` says how many sets are drawn, and here all is written out",),
    ),
    Case(
        "fault after the end",
        fault("at: «61s, fault: worker.kill"),
        ("at 61.0 s the run is over: the load", "the drain at most 60.0 s later"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bad_input(case: Case, doc: Callable[..., str], refused: Callable[..., list[ScenarioError]]) -> None:
    (error,) = refused(doc(**case.sections))
    told = str(error)
    for part in case.says:
        assert part in told
    for jargon in ("Input should", "validation", "dictionary", "tuple", "pydantic", "None", "str]"):
        assert jargon not in told


def test_missing_key_of_a_fault_stands_at_its_item(doc: Callable[..., str], refused: Callable[..., list[ScenarioError]]) -> None:
    (error,) = refused(doc(timeline="timeline:\n- {at: 1s, fault: worker.kill}\n- «fault: message.duplicate\n  at: 2s\n  count: 1"))
    assert error.what == "`queue` is missing in `message.duplicate`"
    assert error.hint == "name of the queue"


def test_all_errors_are_told_in_the_order_of_the_file(doc: Callable[..., str], refused: Callable[..., list[ScenarioError]]) -> None:
    text = doc(
        system="system:\n  app: shop:app\n  broker: «reddis\n  env: {A: «1}",
        load="load:\n- {send: a, «rat: 5/s, count: 1}",
        timeline="timeline:\n- {at: «5, fault: «kil, target: pay}\n- {at: 1s, fault: message.duplicate, queue: q, count: «0}",
        checks="checks:\n  «no_los: {}\n  recovery: {within: «soon}",
    )
    errors = refused(text)
    assert len(errors) == 8


def test_several_errors_print_as_lines(doc: Callable[..., str], load: Callable[..., object]) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(doc(more="nope: 1", tags="tags: ci"))
    first, _, second, _ = str(caught.value).splitlines()
    assert ":4:1: unknown key `nope`" in first
    assert second.endswith(":5:7: `tags` is a list, not `ci`")
    assert caught.value.where.endswith(":4:1")
