"""Puts a dashboard together: its variables, its links to the others and to the registry, its sections on the grid.

Grafana's grid has 24 columns; a unit of height is 38 pixels with its gap. Not here: what the panels show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as dm

from deploy.grafana.boards.panels import SOURCE, Panel

COLUMNS = 24
TAG = "headgate"
SOURCE_UID = "headgate-prometheus"
REGISTRY_URL = "http://127.0.0.1:5000"
"""Where the operator's browser finds the registry: the port that compose.yaml publishes."""


@dataclass(frozen=True, slots=True)
class Section:
    """A row of panels, or several, below a heading. ``panels`` are (panel, width); they wrap where a row is full."""

    title: str
    height: int
    panels: Sequence[tuple[Panel, int]]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard. ``uid`` is what others link to; ``variables`` come after the data source, ``links`` (title, URL)
    after those to the other boards.
    """

    uid: str
    title: str
    description: str
    sections: Sequence[Section]
    variables: Sequence[Builder[dm.VariableModel]] = ()
    links: Sequence[tuple[str, str]] = ()
    since: str = "now-6h"


class _Placed(Builder[dm.Panel]):
    """A panel at its place."""

    def __init__(self, panel: Panel, number: int, place: dm.GridPos) -> None:
        self._panel = panel
        self._number = number
        self._place = place

    def build(self) -> dm.Panel:
        """Return the panel."""
        return self._panel.id(self._number).grid_pos(self._place).build()


def build(board: Board) -> dm.Dashboard:
    """Return a dashboard as Grafana reads it."""
    made = dashboard.Dashboard(board.title).uid(board.uid).description(board.description).tags([TAG])
    made.readonly().timezone("browser").time(board.since, "now").refresh("10s").tooltip(
        dm.DashboardCursorSync.CROSSHAIR
    )
    made.with_variable(_source_variable())
    for variable in board.variables:
        made.with_variable(variable)
    made.with_variable(dashboard.ConstantVariable("registry").label("Registry").value(REGISTRY_URL))
    for link in _links(board):
        made.link(link)
    top, number = 0, 1
    for section in board.sections:
        place = dm.GridPos(x=0, y=top, w=COLUMNS, h=1)
        made.with_row(dashboard.Row(section.title).id(number).grid_pos(place))
        top, number = top + 1, number + 1
        left = 0
        for panel, width in section.panels:
            if left + width > COLUMNS:
                left, top = 0, top + section.height
            made.with_panel(_Placed(panel, number, dm.GridPos(x=left, y=top, w=width, h=section.height)))
            left, number = left + width, number + 1
        top += section.height
    return made.build()


def label_variable(name: str, query: str, description: str, *, several: bool = False) -> dashboard.QueryVariable:
    """Return a variable whose values Prometheus knows: ``label_values(…)``; ``several`` lets one choose all."""
    variable = dashboard.QueryVariable(name).label(name.capitalize()).description(description).datasource(SOURCE)
    variable.query({"query": query, "refId": f"variable-{name}"}).definition(query)
    variable.allow_custom_value(False).refresh(dm.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(
        dm.VariableSort.NATURAL_ASC
    )
    if several:
        variable.multi(True).include_all(True).all_value(".*")
        variable.current(dm.VariableOption(text="All", value="$__all", selected=True))
    return variable


def link_to(uid: str, **variables: str) -> str:
    """Return the URL of another board of ours, at the same time, with ``variables`` set."""
    given = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return f"/d/{uid}?${{__url_time_range}}{given}&var-datasource=${{datasource}}"


def _source_variable() -> dashboard.DatasourceVariable:
    chosen = dm.VariableOption(text="Prometheus", value=SOURCE_UID, selected=True)
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus").current(chosen)


def _links(board: Board) -> list[dashboard.DashboardLink]:
    boards = dashboard.DashboardLink("Boards").type(dm.DashboardLinkType.DASHBOARDS).tags([TAG])
    others = [
        dashboard.DashboardLink(title).type(dm.DashboardLinkType.LINK).url(url).icon("external link").target_blank(True)
        for title, url in board.links
    ]
    return [boards.include_vars(True).keep_time(True).as_dropdown(False), *others]
