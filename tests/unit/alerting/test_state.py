"""The state of alerts: what signals and acknowledgements make of it, in any order and however often they come."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.alerting.examples import LATER, at, rule, signal

from sluice.alerting.acknowledgement import Acknowledgement
from sluice.alerting.signals import Signal
from sluice.alerting.state import (
    AlertState,
    Key,
    Remembered,
    Step,
    alert_id_of,
    apply_acknowledgement,
    apply_signal,
    resolve_orphan,
)
from sluice.errors import AlertUnknown, SignalInvalid

SENT = LATER
ACK = Acknowledgement(alert_id_of("hot", "d1", at(0)), "hot", "d1", "ann", "on my way")


def after(*signals: Signal, **odd: Any) -> Remembered:
    """What is remembered after those signals of one rule and subject."""
    known: Remembered | None = None
    for each in signals:
        known = apply_signal(known, each, rule(**odd), SENT, LATER).remembered or known
    assert known is not None
    return known


def test_the_first_signal_opens_an_alert_and_tells_it() -> None:
    step = apply_signal(None, signal(0, customer="c1"), rule(runbook="http://runbook"), SENT, LATER)
    assert step.notice == AlertState(
        alert_id=alert_id_of("hot", "d1", at(0)),
        rule_id="hot",
        subject="d1",
        severity="critical",
        status="firing",
        first_event_time=at(0),
        last_event_time=at(0),
        signal_count=1,
        opened_at=LATER,
        updated_at=LATER,
        device_id="d1",
        customer="c1",
        site="hall",
        metric="temperature_celsius",
        threshold=60.0,
        first_value=61.0,
        last_value=61.0,
        text="d1: 61",
        runbook="http://runbook",
    )
    assert step.remembered == Remembered(at(0), step.notice, channels=("log",))


def test_the_id_is_a_function_of_rule_subject_and_first_event_time() -> None:
    ids = {alert_id_of("hot", "d1", at(0)), alert_id_of("hot", "d1", at(1)), alert_id_of("hot", "d2", at(0))}
    assert len(ids | {alert_id_of("cold", "d1", at(0))}) == 4
    assert alert_id_of("hot", "d1", at(0)) == "al-5f2cf1e048c56512c0aba5cd"


def test_signals_of_an_open_alert_move_it_on_and_tell_nobody() -> None:
    opened = apply_signal(None, signal(0), rule(), SENT, LATER).remembered
    step = apply_signal(opened, signal(5, value=70.0), rule(), SENT, LATER + timedelta(seconds=1))
    assert step.notice is None
    assert step.remembered is not None
    assert opened is not None
    assert opened.alert is not None
    assert step.remembered.alert == replace(
        opened.alert,
        last_event_time=at(5),
        last_value=70.0,
        signal_count=2,
        text="d1: 70",
        updated_at=LATER + timedelta(seconds=1),
    )


@pytest.mark.parametrize("seconds", [10, 9, 0, -5], ids=["repeated", "late", "the first again", "before the first"])
def test_a_signal_that_is_not_after_what_was_seen_changes_nothing(seconds: float) -> None:
    known = after(signal(0), signal(10))
    assert apply_signal(known, signal(seconds), rule(), SENT, LATER) == Step()


def test_a_clear_resolves_and_a_raise_after_it_is_another_alert() -> None:
    known = after(signal(0), signal(10, "clear"))
    assert known.alert is not None
    assert (known.alert.status, known.alert.resolved_at, known.alert.resolved_why) == ("resolved", LATER, "cleared")
    again = apply_signal(known, signal(11), rule(), SENT, LATER)
    assert again.notice is not None
    assert again.notice.alert_id == alert_id_of("hot", "d1", at(11))


@pytest.mark.parametrize("seconds", [0, 5, 10])
def test_what_was_raised_before_the_clear_and_comes_after_it_does_not_reopen(seconds: float) -> None:
    known = after(signal(0), signal(10, "clear"))
    assert apply_signal(known, signal(seconds), rule(), SENT, LATER) == Step()


def test_a_clear_that_overtakes_the_raise_keeps_it_from_opening() -> None:
    cleared = apply_signal(None, signal(10, "clear"), rule(), SENT, LATER)
    assert cleared == Step(Remembered(at(10)))
    assert apply_signal(cleared.remembered, signal(5), rule(), SENT, LATER) == Step()


def sent(seconds: float) -> datetime:
    return SENT + timedelta(seconds=seconds)


def test_the_cooldown_counts_from_the_clear_by_the_times_of_sending() -> None:
    slow = rule(cooldown_seconds=60)
    known = after(signal(0), signal(10, "clear"), cooldown_seconds=60)
    quiet = apply_signal(known, signal(11), slow, sent(59.9), LATER)
    assert quiet.notice is None
    loud = apply_signal(quiet.remembered, signal(12), slow, sent(60), LATER)
    assert loud.notice is not None
    assert loud.notice.first_event_time == at(12)


def test_what_was_held_back_and_holds_still_raises_when_it_is_said_again_after_the_cooldown() -> None:
    """A device that went silent within the cooldown: its signal has the time of its last reading, now and later."""
    slow = rule(cooldown_seconds=60)
    known = after(signal(0), signal(10, "clear"), cooldown_seconds=60)
    held_back = apply_signal(known, signal(11), slow, sent(5), LATER).remembered
    assert apply_signal(held_back, signal(11), slow, sent(30), LATER) == Step()
    again = apply_signal(held_back, signal(11), slow, sent(61), LATER)
    assert again.notice is not None
    assert again.notice.alert_id == alert_id_of("hot", "d1", at(11))
    assert apply_signal(again.remembered, signal(11), slow, sent(90), LATER) == Step()


def test_what_was_held_back_and_was_cleared_since_does_not_raise() -> None:
    slow = rule(cooldown_seconds=60)
    known = after(signal(0), signal(10, "clear"), cooldown_seconds=60)
    held_back = apply_signal(known, signal(11), slow, sent(5), LATER).remembered
    cleared = apply_signal(held_back, signal(12, "clear"), slow, sent(6), LATER).remembered
    assert apply_signal(cleared, signal(11), slow, sent(61), LATER) == Step()


def test_a_clear_of_a_resolved_alert_tells_nobody() -> None:
    known = after(signal(0), signal(10, "clear"))
    assert apply_signal(known, signal(20, "clear"), rule(), SENT, LATER) == Step(replace(known, seen_until=at(20)))


def test_a_raise_without_its_rule_is_refused_and_a_clear_is_not() -> None:
    known = after(signal(0))
    with pytest.raises(SignalInvalid, match="no rule 'hot' is defined"):
        apply_signal(known, signal(1), None, SENT, LATER)
    notice = apply_signal(known, signal(1, "clear"), None, SENT, LATER).notice
    assert notice is not None
    assert (notice.status, notice.text) == ("resolved", "d1: 61")


def test_an_acknowledgement_is_told_once_and_its_words_stay() -> None:
    step = apply_acknowledgement(after(signal(0)), ACK, rule(), LATER)
    assert step.notice is not None
    assert (step.notice.status, step.notice.acknowledged_at) == ("acknowledged", LATER)
    assert (step.notice.acknowledged_by, step.notice.acknowledged_why) == ("ann", "on my way")
    other = replace(ACK, by="bob")
    assert apply_acknowledgement(step.remembered, other, rule(), LATER) == Step()
    resolved = apply_signal(step.remembered, signal(9, "clear"), rule(), SENT, LATER)
    assert resolved.notice is not None
    assert (resolved.notice.status, resolved.notice.acknowledged_by) == ("resolved", "ann")
    assert apply_acknowledgement(resolved.remembered, other, rule(), LATER) == Step()


def test_signals_after_an_acknowledgement_do_not_fire_anew() -> None:
    acknowledged = apply_acknowledgement(after(signal(0)), ACK, rule(), LATER).remembered
    step = apply_signal(acknowledged, signal(5), rule(), SENT, LATER)
    assert step.notice is None
    assert step.remembered is not None
    assert step.remembered.alert is not None
    assert (step.remembered.alert.status, step.remembered.alert.signal_count) == ("acknowledged", 2)


@pytest.mark.parametrize("known", [None, Remembered(at(0)), after(signal(1))], ids=["nothing", "no alert", "another"])
def test_an_acknowledgement_of_an_alert_that_is_not_there_is_refused(known: Remembered | None) -> None:
    with pytest.raises(AlertUnknown, match=ACK.alert_id):
        apply_acknowledgement(known, ACK, rule(), LATER)


def test_an_open_alert_whose_rule_is_gone_is_resolved_with_that_reason() -> None:
    notice = resolve_orphan(after(signal(0)), LATER).notice
    assert notice is not None
    assert (notice.status, notice.resolved_why) == ("resolved", "its rule is no longer defined")
    assert resolve_orphan(after(signal(0), signal(1, "clear")), LATER) == Step()


def test_the_time_of_change_rises_even_if_the_clock_does_not() -> None:
    known = after(signal(0), signal(1), signal(2, "clear"))
    assert known.alert is not None
    assert known.alert.updated_at == LATER + timedelta(microseconds=2)


Sent = tuple[Signal, datetime]
SIGNALS = st.lists(
    st.builds(
        lambda seconds, kind, subject: signal(seconds, kind, subject=subject),
        st.integers(0, 8),
        st.sampled_from(["raise", "raise", "clear"]),
        st.sampled_from(["d1", "d2"]),
    ),
    max_size=25,
).map(lambda found: [(each, sent(second)) for second, each in enumerate(found)])


def state_after(signals: list[Sent], known: dict[Key, Remembered]) -> tuple[dict[Key, Remembered], list[AlertState]]:
    """What is remembered, and the notices in their order."""
    known, notices = dict(known), []
    for each, sent_at in signals:
        key = (each.rule_id, each.subject)
        step = apply_signal(known.get(key), each, rule(cooldown_seconds=3), sent_at, LATER)
        if step.remembered is not None:
            known[key] = step.remembered
        if step.notice is not None:
            notices.append(step.notice)
    return known, notices


@given(signals=SIGNALS, data=st.data())
def test_delivered_again_from_any_committed_point_the_alerts_and_their_notices_are_the_same(
    signals: list[Sent], data: st.DataObject
) -> None:
    undisturbed, told = state_after(signals, {})
    known: dict[Key, Remembered] = {}
    notices: list[AlertState] = []
    reached = 0
    while reached < len(signals):
        start = data.draw(st.integers(0, reached))
        end = data.draw(st.integers(reached + 1, len(signals)))
        known, more = state_after(signals[start:end], known)
        notices += more
        reached = end
    assert (known, notices) == (undisturbed, told)


@given(signals=SIGNALS, data=st.data())
def test_any_record_repeated_anywhere_later_changes_nothing(signals: list[Sent], data: st.DataObject) -> None:
    repeated = list(signals)
    for place in sorted(data.draw(st.sets(st.integers(0, max(0, len(signals) - 1)), max_size=5)), reverse=True):
        if signals:
            repeated.insert(data.draw(st.integers(place + 1, len(repeated))), signals[place])
    assert state_after(repeated, {}) == state_after(signals, {})
