"""Gauges that are read when Prometheus scrapes: files, disks, spool, clock, and each part."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Reading(NamedTuple):
    """The value of a gauge, whose name has no prefix here; `label` is for the one of `GAUGES`."""

    name: str
    value: float
    label: str = ""


ReadGauges = Callable[[], Iterable[Reading]]
"""Reads gauges on a thread. A gauge whose value is unknown is left out."""

GAUGES = {
    "holds_open": ("Open holds.", ""),
    "holds_dollars": ("Dollars held by open holds.", ""),
    "holds_oldest_age_seconds": ("Age of the oldest open hold; 0 if there is none.", ""),
    "part_status": ("Parts as in /readyz: 0 is ok, 1 a warning, 2 unavailable.", "part"),
    "database_bytes": ("Size of the database file.", ""),
    "wal_bytes": ("Size of the write-ahead log.", ""),
    "disk_free_bytes": ("Free bytes of the disks of the database and the spool.", "filesystem"),
    "spool_files": ("Ends of calls that wait in the spool.", ""),
    "spool_bytes": ("Bytes of the ends of calls in the spool.", ""),
    "unsaved_ends": ("Ends of calls that are neither in the database nor in the spool.", ""),
    "clock_behind_seconds": ("Time from the clock to the newest entry; 0 if it is not later.", ""),
    "clock_stepped_seconds": ("How far the clock was set in the last day; negative: back.", ""),
    "backup_age_seconds": ("Age of the newest backup by `modelgates db backup`.", ""),
}
"""The text of each gauge, and the name of its label."""


class GaugesCollector(Collector):
    """Readings in the form that prometheus_client writes."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._readings = list(readings)

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        for name, (text, label) in GAUGES.items():
            family = GaugeMetricFamily(f"modelgates_{name}", text, labels=[label] if label else [])
            for reading in self._readings:
                if reading.name == name:
                    family.add_metric([reading.label] if label else [], reading.value)
            if family.samples:
                yield family
