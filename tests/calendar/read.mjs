// Reads a calendar with another library by other people and holds it to what `keys -o json` says.
// Usage: node read.mjs LIBRARY CALENDAR.ics KEYS.json

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [library, path, keysPath] = process.argv.slice(2);
const { default: ICAL } = await import(pathToFileURL(library));
const { keys } = JSON.parse(readFileSync(keysPath, "utf8"));

const check = (holds, what) => {
  if (!holds) {
    console.error(`${path}: ${what}`);
    process.exit(1);
  }
};

ICAL.design.strict = true;
const calendar = new ICAL.Component(ICAL.parse(readFileSync(path, "utf8")));
const due = new Map(keys.filter((key) => key.dueAt).map((key) => [`${key.namespace}/${key.name}`, key]));
const events = calendar.getAllSubcomponents("vevent");
check(events.length === due.size, `${events.length} events for ${due.size} keys with a date`);

for (const component of events) {
  const event = new ICAL.Event(component);
  const key = due.get(event.summary.split(" ").find((word) => due.has(word)));
  check(key, `an event names its key: ${event.summary}`);
  check(event.startDate.isDate && event.startDate.toString() === key.dueAt.slice(0, 10), `the day is ${event.startDate}`);
  check(event.duration.toSeconds() === 24 * 60 * 60 && !event.isRecurring(), `it is that day alone: ${event.duration}`);
  const [alarm] = component.getAllSubcomponents("valarm");
  const before = (new Date(key.warnAt) - new Date(key.dueAt)) / 1000;
  check(alarm.getFirstPropertyValue("trigger").toSeconds() === before, `it rings ${alarm.getFirstPropertyValue("trigger")}`);
  check(event.description.includes(`\nService: ${key.service}\n`), `it says whose it is: ${event.description}`);
}
console.log(`${path}: ${events.length} events, as ical.js reads them`);
