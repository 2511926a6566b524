"""Each alert fires when it must and at no other time: Prometheus's own engine judges our own page."""

from pathlib import Path

import pytest

from tests.monitoring.day import Day
from tests.monitoring.promtool import needs_promtool, promtool, write_yaml
from tests.monitoring.rules import ALERTS_FILE, read_alerts
from tests.monitoring.stories import STORIES


@needs_promtool
def test_the_rules_are_sound_and_all_are_read() -> None:
    assert f"SUCCESS: {len(read_alerts())} rules found" in promtool("check", "rules", ALERTS_FILE)


@needs_promtool
async def test_each_alert_fires_when_it_must_and_at_no_other_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = read_alerts()
    files: list[Path] = []
    fired: set[str] = set()
    for story in STORIES:
        with monkeypatch.context() as patch:
            day = Day(patch)
            await story(day)
        fired.update(name for moment in day.moments for name in moment.firing)
        content = day.as_promtool_reads_it(alerts)
        files.append(write_yaml(tmp_path / f"{story.__name__}.json", content))
    promtool("test", "rules", *files)
    assert fired == {alert.name for alert in alerts}
