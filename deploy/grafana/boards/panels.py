"""Makes panels: lines, single values, ranked bars, a history of colours, a heat map of latencies, tables, words.

Every panel gets a title, a description, a text for the day when it has no data, a unit and thresholds. Not here: where
a panel stands (``frame.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statushistory,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import text as text_panel
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models import heatmap as hm
from grafana_foundation_sdk.models import prometheus as pm
from grafana_foundation_sdk.models import text as tm

from deploy.grafana.boards.style import GREY, About, Levels, Look

SOURCE = cm.DataSourceRef(type_val="prometheus", uid="${datasource}")
Query = prometheus.Dataquery
Panel = (
    bargauge.Panel
    | heatmap.Panel
    | stat.Panel
    | statushistory.Panel
    | table.Panel
    | text_panel.Panel
    | timeseries.Panel
)
P = TypeVar("P", bargauge.Panel, heatmap.Panel, stat.Panel, statushistory.Panel, table.Panel, timeseries.Panel)


def over_time(expr: str, legend: str = "__auto") -> Query:
    """Ask for values over the dashboard's time."""
    return Query().expr(expr).legend_format(legend).range()


def now(expr: str, legend: str = "__auto") -> Query:
    """Ask for the values at the end of the dashboard's time."""
    return Query().expr(expr).legend_format(legend).instant()


def lines(about: About, queries: Sequence[Query], look: Look) -> timeseries.Panel:
    """Show values over time, the largest first in legend and tooltip."""
    panel = _filled(timeseries.Panel(), about, queries, look)
    legend = common.VizLegendOptions().display_mode(cm.LegendDisplayMode.TABLE).placement(cm.LegendPlacement.BOTTOM)
    panel.legend(legend.show_legend(True).calcs(["mean", "max", "lastNotNull"]).sort_by("Last *").sort_desc(True))
    panel.tooltip(
        common.VizTooltipOptions().mode(cm.TooltipDisplayMode.MULTI).sort(cm.SortOrder.DESCENDING).hide_zeros(False)
    )
    panel.color_scheme(dashboard.FieldColor().mode(dm.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel.line_width(2).fill_opacity(35 if look.stacked else 8).show_points(cm.VisibilityMode.NEVER)
    panel.line_interpolation(cm.LineInterpolation.STEP_AFTER if look.steps else cm.LineInterpolation.LINEAR)
    if look.stacked:
        panel.stacking(common.StackingConfig().mode(cm.StackingMode.NORMAL).group("A"))
    if look.limits:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(cm.GraphThresholdsStyleMode.DASHED))
    if look.room is not None:
        panel.axis_soft_max(look.room)
    if look.right is not None:
        name, unit = look.right
        own = {"unit": unit, "custom.axisPlacement": "right", "custom.stacking": {"mode": "none", "group": "A"}}
        panel.override_by_name(name, [dm.DynamicConfigValue(id_val=key, value=value) for key, value in own.items()])
    for name, colour in look.colours.items():
        fixed = dm.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})
        panel.override_by_regexp(f"/^{name}( |$)/", [fixed])
    return panel


def single(about: About, queries: Sequence[Query], look: Look, *, name: bool = False) -> stat.Panel:
    """Show the newest value large, over its past; ``name``: the series' name instead of its value."""
    panel = _filled(stat.Panel(), about, queries, look)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    panel.color_mode(cm.BigValueColorMode.VALUE)
    panel.graph_mode(cm.BigValueGraphMode.NONE if name else cm.BigValueGraphMode.AREA)
    panel.text_mode(cm.BigValueTextMode.NAME if name else cm.BigValueTextMode.AUTO)
    panel.color_scheme(dashboard.FieldColor().mode(dm.FieldColorModeId.THRESHOLDS))
    return panel


def ranked(about: About, queries: Sequence[Query], look: Look) -> bargauge.Panel:
    """Show one bar a series, in the order in which the query answers (let it sort)."""
    panel = _filled(bargauge.Panel(), about, queries, look)
    panel.orientation(cm.VizOrientation.HORIZONTAL).display_mode(cm.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    panel.value_mode(cm.BarGaugeValueMode.TEXT).name_placement(cm.BarGaugeNamePlacement.LEFT)
    panel.sizing(cm.BarGaugeSizing.MANUAL).min_viz_height(16).max_viz_height(22).show_unfilled(True)
    panel.color_scheme(dashboard.FieldColor().mode(dm.FieldColorModeId.THRESHOLDS))
    return panel


def history(about: About, queries: Sequence[Query], look: Look) -> statushistory.Panel:
    """Show one row a series and one field a time, coloured by the levels: a heat map that keeps its names."""
    panel = _filled(statushistory.Panel(), about, queries, look)
    panel.show_value(cm.VisibilityMode.NEVER).row_height(0.9).col_width(1.0).line_width(0).fill_opacity(85)
    panel.legend(common.VizLegendOptions().show_legend(True).placement(cm.LegendPlacement.BOTTOM))
    # More columns than this, and Grafana refuses to draw them.
    panel.max_data_points(120)
    panel.color_scheme(dashboard.FieldColor().mode(dm.FieldColorModeId.THRESHOLDS))
    return panel


def heat(about: About, query: Query, look: Look) -> heatmap.Panel:
    """Show a histogram over time; ``query`` answers rates by ``le``."""
    panel = _filled(heatmap.Panel(), about, [query.format(pm.PromQueryFormat.HEATMAP).legend_format("{{le}}")], look)
    panel.calculate(False).cell_gap(1).show_legend()
    colours = heatmap.HeatmapColorOptions().mode(hm.HeatmapColorMode.SCHEME).scheme("Blues").steps(32).reverse(False)
    panel.color(colours.scale(hm.HeatmapColorScale.EXPONENTIAL).exponent(0.5).fill("dark-blue"))
    panel.y_axis(heatmap.YAxisConfig().unit(look.unit).axis_placement(cm.AxisPlacement.LEFT))
    panel.tooltip(heatmap.HeatmapTooltip().mode(cm.TooltipDisplayMode.SINGLE).y_histogram(True).show_color_scale(True))
    return panel


def rows(
    about: About,
    columns: Mapping[str, tuple[str, Look]],
    keys: Mapping[str, str],
    first: str,
    link: tuple[str, str, str] | None = None,
) -> table.Panel:
    """Show a table: ``columns`` from title to expression, joined by the labels in ``keys`` (label to title).

    ``first`` is the column by which it is sorted, the largest first; ``link`` makes a key's cells links: the key's
    title, the link's title and its URL.
    """
    queries = [
        now(expr).format(pm.PromQueryFormat.TABLE).ref_id(chr(65 + i)) for i, (expr, _) in enumerate(columns.values())
    ]
    panel = _filled(table.Panel(), about, queries, Look())
    names = {f"Value #{chr(65 + i)}": title for i, title in enumerate(columns)} | dict(keys)
    order = {name: i for i, name in enumerate([*keys, *(f"Value #{chr(65 + i)}" for i in range(len(columns)))])}
    panel.with_transformation(dm.DataTransformerConfig(id_val="merge", options={}))
    options = {"excludeByName": {"Time": True}, "renameByName": names, "indexByName": order}
    panel.with_transformation(dm.DataTransformerConfig(id_val="organize", options=options))
    panel.sort_by([common.TableSortByFieldState().display_name(first).desc(True)])
    panel.show_header(True).cell_height(cm.TableCellHeight.SM).filterable(True)
    for title, (_, look) in columns.items():
        panel.override_by_name(title, _cells(look, gauge=title == first))
    if link is not None:
        key, title, url = link
        target = dm.DynamicConfigValue(id_val="links", value=[{"title": title, "url": url}])
        panel.override_by_name(key, [target])
    return panel


def words(title: str, markdown: str) -> text_panel.Panel:
    """Show a text."""
    panel = text_panel.Panel().title(title).mode(tm.TextMode.MARKDOWN).content(markdown)
    return panel.description("How to read this dashboard.").transparent(True)


def _cells(look: Look, *, gauge: bool) -> list[dm.DynamicConfigValue]:
    """Return how a column of a table looks; ``gauge`` draws its values as bars."""
    style: dict[str, str] = {"type": "gauge", "mode": "basic"} if gauge else {"type": "color-text"}
    values: list[tuple[str, object]] = [
        ("unit", look.unit),
        ("thresholds", {"mode": "absolute", "steps": [{"color": c, "value": v} for v, c in look.levels]}),
        ("color", {"mode": "thresholds"}),
        ("custom.cellOptions", style),
    ]
    if look.decimals is not None:
        values.append(("decimals", look.decimals))
    if look.texts:
        values.append(("mappings", [_mapping(look).to_json()]))
    if gauge:
        values += [("min", look.lowest), ("max", look.highest), ("custom.minWidth", 220)]
    return [dm.DynamicConfigValue(id_val=name, value=value) for name, value in values]


def _filled(panel: P, about: About, queries: Sequence[Query], look: Look) -> P:
    """Give a panel what every panel has."""
    panel.title(about.title).description(about.description).no_value(about.empty).datasource(SOURCE)
    for i, query in enumerate(queries):
        panel.with_target(query.ref_id(chr(65 + i)).datasource(SOURCE))
    panel.unit(look.unit).thresholds(_thresholds(look.levels))
    if look.lowest is not None:
        panel.min(look.lowest)
    if look.highest is not None:
        panel.max(look.highest)
    if look.decimals is not None:
        panel.decimals(look.decimals)
    if look.texts:
        panel.mappings([_mapping(look)])
    if look.link is not None:
        title, url = look.link
        panel.data_links([dashboard.DashboardLink(title).url(url).target_blank(False)])
    return panel


def _thresholds(levels: Levels) -> dashboard.ThresholdsConfig:
    steps = [dm.Threshold(value=value, color=colour) for value, colour in levels]
    return dashboard.ThresholdsConfig().mode(dm.ThresholdsMode.ABSOLUTE).steps(steps)


def _mapping(look: Look) -> dm.ValueMap:
    """Return the words for single values."""
    options = {
        f"{value:g}": dm.ValueMappingResult(text=text, color=colour or GREY, index=i)
        for i, (value, (text, colour)) in enumerate(look.texts.items())
    }
    return dm.ValueMap(options=options)
