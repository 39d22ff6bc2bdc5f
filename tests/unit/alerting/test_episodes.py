"""Episodes of rules: which alert they began with, and when they are over."""

from __future__ import annotations

from tests.unit.alerting.examples import NOON, alert

from sluice.alerting.episodes import Episode, Episodes
from sluice.alerting.state import AlertState, Remembered

FIRST, SECOND, THIRD = (alert(number).alert_id for number in (1, 2, 3))


def remembered(told: AlertState, episode_id: str | None) -> Remembered:
    return Remembered(NOON, told, episode_id=episode_id)


def test_an_episode_lasts_until_none_of_its_alerts_is_open() -> None:
    episodes = Episodes([])
    steps = [(1, "firing"), (2, "firing"), (1, "acknowledged"), (1, "resolved"), (3, "firing"), (2, "resolved")]
    steps += [(3, "resolved"), (2, "firing")]
    found = [episodes.after(alert(number, status=status)) for number, status in steps]
    assert found == [Episode(FIRST, count) for count in (1, 2, 2, 1, 2, 1, 0)] + [Episode(SECOND, 1)]


def test_rules_have_episodes_of_their_own() -> None:
    episodes = Episodes([])
    episodes.after(alert(1))
    assert episodes.after(alert(2, rule_id="cold")) == Episode(SECOND, 1)


def test_a_start_goes_on_with_the_episode_whose_first_alert_is_resolved_since() -> None:
    known = [remembered(alert(1, status="resolved"), FIRST), remembered(alert(2), FIRST), remembered(alert(3), FIRST)]
    episodes = Episodes([*known, Remembered(NOON)])
    assert episodes.after(alert(2, status="resolved")) == Episode(FIRST, 1)
    assert episodes.after(alert(3, status="resolved")) == Episode(FIRST, 0)


def test_alerts_opened_before_episodes_were_remembered_are_one_of_their_rule() -> None:
    episodes = Episodes([remembered(alert(2), None), remembered(alert(3), None)])
    assert episodes.after(alert(3, status="resolved")) == Episode(SECOND, 1)
