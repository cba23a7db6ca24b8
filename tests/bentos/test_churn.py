"""Nothing fails and nothing wrong is answered while everything changes.

The same at full size, with MLflow itself: `make bench-churn`.
"""

from __future__ import annotations

from pathlib import Path

from tests.bentos.churn import MODELS, Churn, Sizes, judge
from tests.bentos.registries import TagServer


def test_no_request_fails_and_every_answer_is_of_a_plan_of_its_moment(home: Path) -> None:
    home.mkdir()
    registry = TagServer([model.partition(":")[0] for model in MODELS])
    sizes = Sizes(swaps=6, rollbacks=4, changes=3, rate=80, polls_a_second=100)
    churn = Churn(home, registry, sizes)
    figures = judge(churn.run())
    assert figures["requests"] > 100
    assert figures["polls of the plan"] > 20
    assert figures["plans written"] == 1 + 6 + 4 + 3 + 3
    assert figures["plans that answered"] == figures["plans written"] - 1, "all but the broken one"
