"""`celery-harness explore` as an ordinary user, in containers, and where the kernel refuses a piece of what it rests on."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.places import BROKEN_LINE, NOBODY, TIME, Said, Shop, containers, reachable, refusing, shop_in, spoiled

EXPLORE = ("explore", "shop.yaml", *TIME)
HARNESS = ("python", "-m", "harness.cli")


def told_as_ever(shop: Shop, said: Said) -> None:
    """The verdict on each, with the line, and no doubt about any."""
    assert said.code == 1, said.text
    found = shop.found()
    assert {task: one["verdict"] for task, one in found.items()} == {
        "shop.added": "fails",
        "shop.paid": "certified",
        "shop.charged": "certified",
    }
    assert {one["environment"]["points"] for one in found.values()} == {"effects"}
    (flaw,) = found["shop.added"]["flaws"]
    assert (flaw["word"], flaw["place"]["file"], flaw["place"]["line"], flaw["confirmed"]) == ("EFFECT", "shop.py", BROKEN_LINE, True)
    assert not any("clock" in words for words in found["shop.paid"]["coverage"]["excluded"])
    assert [stop["target"] for stop in found["shop.charged"]["first"]].count("api") >= 1


def test_an_ordinary_user_at_an_odd_place(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without a capability, a name, a home, or any right that a program could give it; one processor, few descriptors; and nobody gets a
    copy of another's socket, as under Docker's default profile, nor a process group of its own.
    """
    with shop_in("mon été à la mer") as shop:
        prefix = reachable(tmp_path_factory.mktemp("view"))
        if os.geteuid() == 0:
            prefix += ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            prefix += ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"]
        else:
            prefix += ["setpriv"]
        prefix += ["--no-new-privs", "prlimit", "--nofile=256", "taskset", "-c", str(min(os.sched_getaffinity(0)))]
        temporary = shop.folder / "tmp ici"
        temporary.mkdir()
        shutil.chown(temporary, shop.folder.stat().st_uid)
        refusals = [refusing("pidfd_getfd"), refusing("setpgid")]

        def refuse() -> None:
            for one in refusals:
                one()

        told = shop.run(prefix, *EXPLORE, before=refuse, HOME="", TMPDIR=str(temporary), LANG="C", LC_ALL="C")
        told_as_ever(shop, told)
        assert list(temporary.iterdir()) == []


@pytest.fixture(scope="module")
def container() -> Iterator[Callable[..., Said]]:
    with containers() as run:
        yield run


def test_in_a_container_under_the_default_profile(container: Callable[..., Said]) -> None:
    """As the container's only process."""
    with shop_in("shop") as shop:
        told_as_ever(shop, container(shop, *HARNESS, *EXPLORE))


#: `make test` has each of these commands where there is no container: test_certify.py and test_replay.py.
@pytest.mark.exhaustive
def test_in_a_container_it_is_certified_checked_and_shown_again_with_a_real_worker(container: Callable[..., Said]) -> None:
    with shop_in("shop") as shop:
        told_as_ever(shop, container(shop, *HARNESS, *EXPLORE))
        (plan,) = (shop.folder / "reports" / "latest" / "plans").iterdir()
        harness = " ".join(HARNESS)
        again = f"({harness} replay reports/latest/plans/{plan.name} --confirm; test $? = 1)"
        certified = f"{harness} certify shop.yaml --task shop.paid {' '.join(TIME)} && {harness} certify --check shop.yaml --task shop.paid"
        said = container(shop, "sh", "-c", f"{again} & {certified} && wait $!")
        assert said.code == 0 and "CONFIRMED" in said.text, said.text
        assert len(list((shop.folder / "certificates").iterdir())) == 1


@pytest.mark.exhaustive
def test_in_one_that_refuses_seccomp_lines_are_tried_and_nothing_is_certified(container: Callable[..., Said]) -> None:
    with shop_in("shop", "shop.added", "shop.paid") as shop:
        harness, only = " ".join(HARNESS), "--task shop.paid"
        script = f"{harness} {' '.join(EXPLORE)}; test $? = 1 && {harness} certify shop.yaml {only} {' '.join(TIME)}"
        said = container(shop, "sh", "-c", script, security_opt=[spoiled("seccomp")])
        assert said.code == 4, said.text
        demand_lines(shop, said, "seccomp(SECCOMP_FILTER_FLAG_NEW_LISTENER): Operation not permitted")
        assert not (shop.folder / "certificates").exists() or not list((shop.folder / "certificates").iterdir())


def demand_lines(shop: Shop, said: Said, why: str) -> None:
    """What is broken fails, what is right is not certified; why is said on the terminal, in the data and on the page."""
    found = shop.found()
    assert {one["environment"]["points"] for one in found.values()} == {"lines"}
    assert all(why in one["environment"]["points_why"] for one in found.values())
    verdicts = {task: one["verdict"] for task, one in found.items()}
    assert verdicts.pop("shop.added", "fails") == "fails" and set(verdicts.values()) == {"inconclusive"}
    assert "points lines of your code, since effects cannot be had here:" in said.text and why in said.text
    assert "nothing is certified" in said.text
    assert "not before each effect" in shop.report() and why in shop.report()


#: `make test` has a filter that is refused from the start in test_explore_lines.py.
@pytest.mark.exhaustive
def test_where_the_filter_is_taken_and_its_listener_is_refused_too() -> None:
    """As a sandbox may, or a kernel that knows the one and not the other: tried before anything rests on it."""
    receive = refusing("ioctl", 1, 0xFFFFFFFF, 0xC0502100, errno.EINVAL)
    with shop_in("shop", "shop.paid") as shop:
        said = shop.run([], *EXPLORE, before=receive)
        assert said.code == 4, said.text
        demand_lines(shop, said, "ioctl(SECCOMP_IOCTL_NOTIF_RECV): Invalid argument")


def test_where_no_memory_may_be_written_and_run_a_certificate_says_what_it_leaves_out() -> None:
    """Under systemd's MemoryDenyWriteExecute, say: without the vDSO the clock cannot be set."""
    with shop_in("shop", "shop.paid") as shop:
        said = shop.run([], *EXPLORE, before=refusing("mmap", 2, 6, 6))
        assert said.code == 0, said.text
        (found,) = shop.found().values()
        assert found["environment"]["points"] == "effects" and found["verdict"] == "certified"
        assert "deliveries later than at once, since the task's clock cannot be set: no memory that can be run" in said.text
