"""Telling a change of a plan: what it said before and says now, and the rollout that ends because of it.

Not here: making the change (``traffic.py``), a plan as words (``plans.py``).
"""

from __future__ import annotations

import re

from headgate.cli import plans, show
from headgate.cli.session import Format, say
from headgate.client import Client
from headgate.errors import HeadgateError
from headgate.plans import Traffic
from headgate.rollouts import Rollout

_GONE_BACK = re.compile(r"rolled back to (revision [0-9]+)")


def going_on(client: Client, name: str) -> Rollout | None:
    """Return the rollout of a model that goes on; None without one, and where nobody can be asked."""
    try:
        return next((one for one in client.rollouts(name) if not one.ended), None)
    except HeadgateError:
        return None  # only a courtesy: the change itself tells what is wrong


def tell(before: Traffic, after: Traffic, ending: Rollout | None, output: Format) -> None:
    """Print what a change came to; ``ending`` went on before it, and a plan that is made by hand ends it.

    Where ``after`` is ``before`` itself, nothing was changed: only JSON is printed then.
    """
    if output is Format.JSON:
        show.print_json(after.to_json())
    if after is before:
        return
    if output is Format.TABLE:
        back = _GONE_BACK.fullmatch(after.why)
        how = f": the plan of {back[1]}" if back else ""
        print(f"{after.model}: revision {before.revision or 'none'} → {after.revision}{how}")
        rows = plans.differences(before.plan, after.plan)
        show.print_table(("part", "before", "now"), rows, empty="the plan says the same as before, the note left out")
    if ending is not None:
        say(f"the rollout of version {ending.version} ends by this")
