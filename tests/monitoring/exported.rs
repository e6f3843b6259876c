//! What the operator exports: names, labels and values, read from its own exposition.

use std::collections::{BTreeMap, BTreeSet};

use anthropic_rbac::controller::Metrics;

use crate::query;

/// Labels that Prometheus adds to what it scrapes.
const OF_THE_TARGET: [&str; 2] = ["instance", "pod"];

/// Labels whose values nobody can list: names of objects, the release.
const OPEN: [&str; 4] = ["namespace", "name", "version", "le"];

/// A metric as it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Metric {
    pub kind: String,
    pub help: String,
    /// Labels and the values they can have.
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

/// Metrics by name.
#[derive(Clone, Debug, Default)]
pub struct Exported(pub BTreeMap<String, Metric>);

// === impl Exported ===

impl Exported {
    /// Read from what an operator serves in which everything has happened.
    pub fn by_the_operator() -> Self {
        let mut metrics = BTreeMap::<_, Metric>::new();
        let (mut kind, mut help) = (String::new(), String::new());
        for line in Metrics::of_everything().encode().lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", _, said] => help = said.trim_end_matches('.').to_owned(),
                ["#", "TYPE", _, said] => kind = said.to_owned(),
                ["#", ..] => {}
                _ => {
                    let selector = query::read(line).selectors.remove(0);
                    let metric = metrics.entry(selector.metric).or_default();
                    metric.kind.clone_from(&kind);
                    metric.help.clone_from(&help);
                    for (label, values) in selector.matchers {
                        metric.labels.entry(label).or_default().extend(values);
                    }
                }
            }
        }
        Self(metrics)
    }

    /// A rule records this; it has the labels of what it is made from.
    pub fn record(&mut self, name: &str, expr: &str) {
        let mut recorded = Metric::default();
        for selector in query::read(expr).selectors {
            for (label, values) in &self.metric(&selector.metric).labels {
                let into: &mut BTreeSet<_> = recorded.labels.entry(label.clone()).or_default();
                into.extend(values.iter().cloned());
            }
        }
        self.0.insert(name.to_owned(), recorded);
    }

    /// Panics if a query asks for what is not there.
    pub fn answers(&self, expr: &str) {
        let query = query::read(expr);
        assert!(!query.selectors.is_empty(), "nothing of ours in {expr}");
        for selector in &query.selectors {
            let metric = self.metric(&selector.metric);
            for (label, values) in &selector.matchers {
                if OF_THE_TARGET.contains(&label.as_str()) {
                    continue;
                }
                let known = metric.labels.get(label);
                let known = known.unwrap_or_else(|| panic!("no label {label}: {expr}"));
                let closed = !OPEN.contains(&label.as_str());
                for value in values.iter().filter(|_| closed) {
                    assert!(known.contains(value), "no value {value} of {label}: {expr}");
                }
            }
        }
        for label in &query.labels {
            let mut metrics = query
                .selectors
                .iter()
                .map(|asked| self.metric(&asked.metric));
            assert!(
                OF_THE_TARGET.contains(&label.as_str())
                    || metrics.any(|metric| metric.labels.contains_key(label)),
                "no label {label}: {expr}"
            );
        }
    }

    /// Panics if a text that is no query names a metric that is not there.
    pub fn has_names_of(&self, text: &str) {
        let in_name = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
        let words = text.split(|c| !in_name(c));
        for word in words.filter(|word| word.starts_with("anthropic_rbac")) {
            self.metric(word);
        }
    }

    fn metric(&self, name: &str) -> &Metric {
        let metric = self.0.get(name);
        metric.unwrap_or_else(|| panic!("no metric {name}"))
    }
}
