//! The table of metrics in the documents.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::exported::Exported;

/// More values than this are not listed.
const MOST_VALUES: usize = 8;

/// The document.
pub fn table(exported: &Exported) -> String {
    let mut text = "\
# Metrics

<!-- Written by make gen. -->

Served at `/metrics` on port 8080, in the OpenMetrics text format, by every replica. `objects` and the metrics of keys are the same on each; the others move on the leader only. A series about an ApiKeyRef goes when the ApiKeyRef does. [monitoring.md](../monitoring.md) has alerts and a dashboard.

| metric | type | labels | is |
|---|---|---|---|
"
    .to_owned();
    // The parts of a histogram are one metric.
    let parts = ["_bucket", "_sum", "_count"];
    for (name, metric) in &exported.0 {
        let histogram = metric.kind == "histogram";
        let part = parts.iter().find_map(|part| name.strip_suffix(part));
        let name = match part.filter(|_| histogram) {
            Some(_) if !name.ends_with("_bucket") => continue,
            Some(whole) => whole,
            None => name,
        };
        let labels = metric.labels.iter().filter(|(label, _)| *label != "le");
        let labels: Vec<_> = labels.map(|(label, values)| shown(label, values)).collect();
        let (kind, help) = (&metric.kind, &metric.help);
        writeln!(
            text,
            "| `{name}` | {kind} | {} | {help} |",
            labels.join("<br>")
        )
        .unwrap();
    }
    text
}

fn shown(label: &str, values: &BTreeSet<String>) -> String {
    let listed = values.iter().map(|value| format!("`{value}`"));
    match label {
        "namespace" | "name" => format!("`{label}` of the ApiKeyRef"),
        "version" => format!("`{label}`"),
        _ if values.len() > MOST_VALUES => {
            format!("`{label}`: any that `anthropic-rbac explain` lists")
        }
        _ => format!("`{label}`: {}", listed.collect::<Vec<_>>().join(", ")),
    }
}
