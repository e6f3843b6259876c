"""Reads a calendar with a library by other people and holds it to what `keys -o json` says.

Usage: read.py CALENDAR.ics KEYS.json
"""

import datetime
import json
import sys

import icalendar

path, keys_path = sys.argv[1:]
raw = open(path, "rb").read()
keys = json.load(open(keys_path))["keys"]


def check(holds, what):
    if not holds:
        sys.exit(f"{path}: {what}")


lines = raw.split(b"\r\n")
check(lines.pop() == b"", "the last line has its end")
for line in lines:
    check(b"\n" not in line and b"\r" not in line, f"lines end in CR LF: {line!r}")
    check(len(line) <= 75, f"no line is over 75 octets: {line!r}")
    line.decode()  # no character is cut in two

calendar = icalendar.Calendar.from_ical(raw)
for component in calendar.walk():
    check(not component.errors, f"nothing is unreadable: {component.errors}")
check(calendar["VERSION"] == "2.0" and calendar["PRODID"], "it says what it is")
check("METHOD" not in calendar, "it is no invitation")

due = {f"{key['namespace']}/{key['name']}": key for key in keys if key["dueAt"]}
events = {}
for event in calendar.walk("VEVENT"):
    names = [name for name in due if name in str(event["SUMMARY"]).split()]
    check(len(names) == 1, f"an event names one key: {event['SUMMARY']}")
    events[names[0]] = event
check(events.keys() == due.keys(), f"each key with a date has one event: {sorted(events)}")
check(len({str(event["UID"]) for event in events.values()}) == len(due), "identifiers differ")

for name, event in events.items():
    key = due[name]
    due_at, warn_at = (datetime.datetime.fromisoformat(key[at]) for at in ("dueAt", "warnAt"))
    start = event["DTSTART"].dt
    check(type(start) is datetime.date and start == due_at.date(), f"{name}: the day is {start}")
    check("DTEND" not in event and "RRULE" not in event, f"{name}: it is that day alone")
    check(event["TRANSP"] == "TRANSPARENT", f"{name}: nobody is busy because of it")
    stamp = event["DTSTAMP"].dt
    check(stamp.tzinfo is not None and stamp == event["LAST-MODIFIED"].dt, f"{name}: {stamp}")
    check(int(event["SEQUENCE"]) >= 0, f"{name}: {event['SEQUENCE']}")
    check(key["workspace"] in event["CATEGORIES"].cats, f"{name}: {event['CATEGORIES'].cats}")
    description = str(event["DESCRIPTION"]).split("\n")
    check(f"Service: {key['service']}" in description, f"{name}: {description}")
    (alarm,) = event.walk("VALARM")
    check(alarm["ACTION"] == "DISPLAY" and alarm["DESCRIPTION"], f"{name}: the alarm says what")
    check(alarm["TRIGGER"].dt == warn_at - due_at, f"{name}: it rings {alarm['TRIGGER'].dt}")

again = icalendar.Calendar.from_ical(calendar.to_ical())
check(again == calendar, "written again by the library it is the same")
print(f"{path}: {len(events)} events, as icalendar {icalendar.__version__} reads them")
