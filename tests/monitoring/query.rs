//! As much of PromQL as it takes to see what a query asks for. Must not judge it: promtool does.

/// One metric asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selector {
    pub metric: String,
    /// Labels with the values wanted, or not wanted, of them.
    pub matchers: Vec<(String, Vec<String>)>,
}

/// What a query asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    pub selectors: Vec<Selector>,
    /// Labels by which it groups or joins.
    pub labels: Vec<String>,
}

/// Reads a query.
pub fn read(query: &str) -> Query {
    let mut found = Query::default();
    let mut rest = query;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || "_\"'".contains(c)) {
        rest = &rest[start..];
        if let Some(quote) = rest.chars().next().filter(|c| "\"'".contains(*c)) {
            let end = rest[1..].find(quote).expect("a closing quote");
            rest = &rest[end + 2..];
            continue;
        }
        let in_word = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
        let (word, after) = rest.split_at(rest.find(|c| !in_word(c)).unwrap_or(rest.len()));
        rest = after.trim_start();
        if word.starts_with("anthropic_rbac") {
            let inside = enclosed(&mut rest, '{', '}').unwrap_or_default();
            found.selectors.push(Selector {
                metric: word.to_owned(),
                matchers: matchers(inside),
            });
        } else if ["by", "without", "on", "ignoring"].contains(&word) {
            let labels = enclosed(&mut rest, '(', ')').unwrap_or_default();
            let labels = labels.split(',').map(|label| label.trim().to_owned());
            found.labels.extend(labels);
        }
    }
    found
}

/// What stands between brackets, if that is what comes next.
fn enclosed<'a>(rest: &mut &'a str, open: char, close: char) -> Option<&'a str> {
    let (inside, after) = rest.strip_prefix(open)?.split_once(close)?;
    *rest = after;
    Some(inside)
}

fn matchers(inside: &str) -> Vec<(String, Vec<String>)> {
    let mut matchers = Vec::new();
    let mut rest = inside;
    while let Some((label, after)) = rest.split_once(['=', '!']) {
        let mut quoted = after.splitn(3, ['"', '\'']).skip(1);
        let value = quoted.next().expect("a quoted value");
        let values = value.split('|').map(str::to_owned).collect();
        matchers.push((label.trim_matches([' ', ',']).to_owned(), values));
        rest = quoted.next().unwrap_or_default();
    }
    matchers
}

#[test]
fn metrics_matchers_and_labels_are_found_and_functions_and_texts_are_not() {
    let query = read(
        r#"sum by (kind, le) (rate(anthropic_rbac_a_total{x="1", y!~"b|c"}[5m])) / on (z) anthropic_rbac:d and foo{e="anthropic_rbac_f"}"#,
    );
    let selector = |metric: &str, matchers: &[(&str, &[&str])]| Selector {
        metric: metric.to_owned(),
        matchers: matchers
            .iter()
            .map(|(label, values)| {
                let values = values.iter().map(|&value| value.to_owned());
                ((*label).to_owned(), values.collect())
            })
            .collect(),
    };
    assert_eq!(
        query.selectors,
        [
            selector(
                "anthropic_rbac_a_total",
                &[("x", &["1"]), ("y", &["b", "c"])]
            ),
            selector("anthropic_rbac:d", &[]),
        ]
    );
    assert_eq!(query.labels, ["kind", "le", "z"]);
}
