"""Messages: what many alerts become, and that the same notices are the same message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.alerting.examples import alert, message, notice

from sluice.alerting.channels.email import EmailSettings, mail_of
from sluice.alerting.channels.pagerduty import events_of
from sluice.alerting.channels.slack import slack_text
from sluice.alerting.messages import message_as_json, message_from_json

HOSTILE = "<!channel> *x* \r\nBcc: evil@example.com \x1b[31m &"


def test_ten_thousand_alerts_are_one_message_that_says_how_many() -> None:
    notices = [notice(number) for number in range(9_000)] + [
        notice(number, status="resolved") for number in range(1_000)
    ]
    told = message(*notices, most_listed=5)
    assert told.title == "[critical] 10,000 alerts: 9,000 firing, 1,000 resolved"
    assert told.lines[:3] == ["hot firing: 9,000", "hot resolved: 1,000", ""]
    assert told.lines[-1] == "… and 9,995 more: sluice alerts ls"
    content = told.as_json()
    assert (content["count"], content["left_out"], len(content["alerts"])) == (10_000, 9_995, 5)
    assert content["counts"][0] == {"rule_id": "hot", "status": "firing", "count": 9_000}


def test_the_gravest_are_listed_and_of_the_same_the_first() -> None:
    told = message(notice(1, severity="info"), notice(2), notice(3, severity="warning"), notice(4), most_listed=3)
    assert [each.alert.subject for each in told.listed] == ["d2", "d4", "d3"]
    assert told.severity == "critical"


def test_the_same_notices_are_the_same_message_and_others_another() -> None:
    one = message(notice(1), notice(2))
    again = message_from_json(message_as_json(one))
    assert again == one
    assert again.message_id == one.message_id
    others = {message(notice(1)).message_id, message(notice(2), notice(1)).message_id}
    assert len(others | {message(notice(1, status="resolved")).message_id, one.message_id}) == 4


def test_one_alert_is_told_whole() -> None:
    told = message(notice(1, runbook="http://r"))
    assert told.title == "[critical] firing: d1: 61"
    assert told.lines[0] == f"alert: {alert(1).alert_id}"
    assert told.lines[-1] == "runbook: http://r"


def test_nothing_from_data_is_markup_for_slack() -> None:
    text = slack_text(message(notice(1, text=HOSTILE)))
    assert "<!channel>" not in text
    assert "&lt;!channel&gt; *\u200bx*\u200b \\r\\nBcc: evil@example.com \\x1b[31m &amp;" in text
    assert len(slack_text(message(*[notice(n, text="x" * 900) for n in range(20)]))) == 3000


def test_nothing_from_data_is_a_header_of_a_mail(tmp_path: Path) -> None:
    settings = EmailSettings(
        type="email", host="mail", port=587, sender="sluice@example.com", recipients=("ops@example.com",)
    )
    told = message(notice(1, text=HOSTILE))
    mail = mail_of(told, settings)
    assert sorted(mail.keys()) == [
        "Auto-Submitted",
        "Content-Transfer-Encoding",
        "Content-Type",
        "From",
        "MIME-Version",
        "Message-ID",
        "Subject",
        "To",
    ]
    assert mail["Subject"].startswith("[critical] firing: <!channel> *x* \\r\\nBcc:")
    assert mail["Message-ID"] == f"<{told.message_id}@example.com>"


def test_an_alert_is_an_incident_by_its_id() -> None:
    fired, taken, gone = (events_of(message(notice(1, status=s)))[0] for s in ("firing", "acknowledged", "resolved"))
    assert [each["event_action"] for each in (fired, taken, gone)] == ["trigger", "acknowledge", "resolve"]
    assert {each["dedup_key"] for each in (fired, taken, gone)} == {alert(1).alert_id}
    assert fired["payload"]["severity"] == "critical"
    assert fired["payload"]["source"] == "d1"


def told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["event_action"], each["dedup_key"]) for each in events]


def test_incidents_beyond_those_listed_are_one_and_what_ends_has_always_its_event() -> None:
    notices = [notice(number) for number in range(100)] + [notice(number, status="resolved") for number in range(30)]
    events = events_of(message(*notices, most_listed=10))
    assert [each["event_action"] for each in events] == ["trigger"] * 10 + ["resolve"] * 30 + ["trigger"]
    assert events[-1]["payload"]["summary"] == "[critical] hot: 70 more alerts, listed by: sluice alerts ls"
    assert events[-1]["dedup_key"] == "episode-al-first"


def test_the_incident_of_many_ends_with_the_last_of_them_and_not_before() -> None:
    storm = events_of(message(notice(1), notice(2, open_count=2), notice(3, open_count=3), most_listed=1))
    assert told(storm) == [("trigger", alert(1).alert_id), ("trigger", "episode-al-first")]
    ends = [message(notice(number, status="resolved", open_count=count)) for number, count in ((3, 2), (1, 1), (2, 0))]
    assert [told(events_of(each)) for each in ends] == [
        [("resolve", alert(3).alert_id)],
        [("resolve", alert(1).alert_id)],
        [("resolve", alert(2).alert_id), ("resolve", "episode-al-first")],
    ]


def test_what_fires_beyond_those_listed_and_ends_in_the_same_message_opens_nothing() -> None:
    over = [notice(number, status="resolved", open_count=2 - number) for number in (1, 2)]
    events = events_of(message(notice(1), notice(2, open_count=2), *over, most_listed=1))
    assert ("trigger", "episode-al-first") not in told(events)
    assert told(events)[-1] == ("resolve", "episode-al-first")
