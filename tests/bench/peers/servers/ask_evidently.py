"""Ask Evidently how far columns moved: FILE. Runs in Evidently's environment; imports nothing of ours.

FILE is a JSON list of ``{"trained": {column: values}, "live": {…}, "asked": [[column, method], …]}``. Prints a list of
lists of numbers, in the order asked.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from evidently import DataDefinition, Dataset, Report  # type: ignore[import-not-found]  # an environment of its own
from evidently.metrics import ValueDrift  # type: ignore[import-not-found]


def answers(case: dict[str, Any]) -> list[float]:
    """Return what Evidently says to one case."""
    trained, live = pd.DataFrame(case["trained"]), pd.DataFrame(case["live"])
    of_words = [name for name in trained if isinstance(trained[name].iloc[0], str)]
    definition = DataDefinition(
        numerical_columns=[name for name in trained if name not in of_words], categorical_columns=of_words
    )
    asked = [ValueDrift(column=column, method=method) for column, method in case["asked"]]
    sets = [Dataset.from_pandas(frame, data_definition=definition) for frame in (live, trained)]
    return [float(metric["value"]) for metric in Report(asked).run(*sets).dict()["metrics"]]


if __name__ == "__main__":
    cases = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps([answers(case) for case in cases]))
