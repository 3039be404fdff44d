"""Metrics of one's own (spec/observability.md section 2)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.metrics import read_metric
from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricOptions:
    """Numbers that applications and rules count with, in all processes of the instance."""

    enable_metrics: bool = option(
        False,
        kind=Kind.BOOL,
        help="Nothing by itself: a metric exists as soon as metric names it, and the built-in ones "
        "of uWSGI are not offered yet.",
    )
    metric: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=read_metric,
        help="A number that all processes share: NAME, or name=,type=,initial_value=,oid=. "
        "uwsgi.metric_inc() and others change it, and so do the actions metricinc, metricset ...; "
        "it keeps its value over reloads.",
    )
