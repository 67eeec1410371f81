from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.errors import ScenarioError
from harness.stores.call import CallParameters, CallStore
from tests.unit.stores.hosts import FolderHost


def make(tmp_path: Path, answer: Any, **parameters: Any) -> tuple[CallStore, FolderHost]:
    store = CallStore("ledger", CallParameters(observe="app.world:rows", **parameters))
    host = FolderHost(tmp_path, {"app.world:rows": answer, "app.world:empty": None})
    store.start(host)
    return store, host


def test_rows_keys_and_surrogates(tmp_path: Path) -> None:
    store, _ = make(tmp_path, {"t": [{"id": 1, "n": 2}], "u": []}, keys={"t": ("n",)}, surrogate={"t": ("id",)})
    found = store.observe().collections
    assert (found["t"].rows, found["t"].key, found["t"].surrogate) == (({"id": 1, "n": 2},), ("n",), ("id",))
    assert found["u"].rows == ()


@pytest.mark.parametrize("answer", [None, [], {"t": 3}, {"t": [1]}, {"t": {"a": 1}}, {"t": [{"other": 1}]}])
def test_another_shape_is_the_scenarios_error(tmp_path: Path, answer: Any) -> None:
    store, _ = make(tmp_path, answer, keys={"t": ("id",)})
    with pytest.raises(ScenarioError, match=r"app\.world:rows") as caught:
        store.observe()
    assert caught.value.where == "system.services.ledger"


def test_what_is_not_named_is_not_called(tmp_path: Path) -> None:
    store, host = make(tmp_path, {})
    store.clear()
    assert host.called == []
    for question in (store.save, lambda: store.restore({})):
        with pytest.raises(ScenarioError, match="callable"):
            question()


def test_clear_calls_the_users(tmp_path: Path) -> None:
    store, host = make(tmp_path, {}, clear="app.world:empty")
    store.clear()
    assert host.called == [("app.world:empty",)]


def test_a_path_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        CallParameters(observe="no colon")
