//! The Grafana dashboard: rows of panels, from which ids, places and options follow.

use serde_json::{Value, json};

/// How a panel shows what it asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// One number: green, or red from this on.
    RedFrom(i64),
    /// One number: red, or green from this on.
    GreenFrom(i64),
    /// Lines over time.
    Lines,
    /// A line for each series as it is now, the least value first.
    Table,
}

struct Panel {
    title: &'static str,
    about: &'static str,
    look: Look,
    /// As Grafana calls it.
    unit: &'static str,
    /// Queries, each with the name that its series get.
    queries: &'static [(&'static str, &'static str)],
}

use Look::{GreenFrom, Lines, RedFrom, Table};

const ROWS: &[(&str, &[Panel])] = &[
    (
        "At a glance",
        &[
            Panel {
                title: "At work",
                about: "Replicas that hold the Lease and have listed everything: one, or nothing changes.",
                look: GreenFrom(1),
                unit: "none",
                queries: &[("sum(anthropic_rbac:leaders:sum)", "")],
            },
            Panel {
                title: "Not ready",
                about: "Objects whose Ready condition is not True; below, by reason.",
                look: RedFrom(1),
                unit: "none",
                queries: &[(
                    r#"sum(anthropic_rbac:objects:max{ready!="True"}) or vector(0)"#,
                    "",
                )],
            },
            Panel {
                title: "Keys overdue or expired",
                about: "Keys past their date of rotation.",
                look: RedFrom(1),
                unit: "none",
                queries: &[(
                    r#"sum(anthropic_rbac:api_key_rotation_state:max{state=~"Overdue|Expired"}) or vector(0)"#,
                    "",
                )],
            },
            Panel {
                title: "Next key due in",
                about: "Time until the first key is due; negative once one is.",
                look: GreenFrom(0),
                unit: "s",
                queries: &[("min(anthropic_rbac:api_key_rotation_due_seconds:min)", "")],
            },
            Panel {
                title: "Waiting",
                about: "Workspaces in the queue, those aside that wait out a delay.",
                look: RedFrom(50),
                unit: "none",
                queries: &[(
                    r#"sum(anthropic_rbac:queue_depth:max{lane=~"fresh|backlog"})"#,
                    "",
                )],
            },
        ],
    ),
    (
        "Keys",
        &[
            Panel {
                title: "Keys by the time until they are due",
                about: "As the statuses of the ApiKeyRefs say.",
                look: Table,
                unit: "s",
                queries: &[(
                    r#"sort(anthropic_rbac:api_key_rotation_due_seconds:min{namespace=~"$namespace"})"#,
                    "",
                )],
            },
            Panel {
                title: "Keys by state",
                about: "Unknown: no date of issue is known.",
                look: Lines,
                unit: "none",
                queries: &[(
                    r#"sum by (state) (anthropic_rbac:api_key_rotation_state:max{namespace=~"$namespace"})"#,
                    "{{state}}",
                )],
            },
        ],
    ),
    (
        "Objects",
        &[
            Panel {
                title: "Objects",
                about: "By kind, ready or not.",
                look: Lines,
                unit: "none",
                queries: &[("sum by (kind) (anthropic_rbac:objects:max)", "{{kind}}")],
            },
            Panel {
                title: "Not ready, by reason",
                about: "anthropic-rbac explain REASON says what each means and what to do.",
                look: Lines,
                unit: "none",
                queries: &[(
                    r#"sum by (kind, reason) (anthropic_rbac:objects:max{ready!="True"}) > 0"#,
                    "{{kind}} {{reason}}",
                )],
            },
            Panel {
                title: "Findings",
                about: "What plans found that is worth a person's attention; on the leader only.",
                look: Lines,
                unit: "none",
                queries: &[(
                    r#"max by (reason, severity) (anthropic_rbac_findings{severity!="Info"}) > 0"#,
                    "{{severity}} {{reason}}",
                )],
            },
        ],
    ),
    (
        "The operator",
        &[
            Panel {
                title: "Plans",
                about: "Plans made for Workspaces, by how they ended.",
                look: Lines,
                unit: "ops",
                queries: &[(
                    "sum by (outcome) (anthropic_rbac:plans:rate5m)",
                    "{{outcome}}",
                )],
            },
            Panel {
                title: "Time to plan",
                about: "Without any requests; 99 of 100 took less.",
                look: Lines,
                unit: "s",
                queries: &[(
                    "max(anthropic_rbac:plan_duration_seconds:p99_rate5m)",
                    "p99",
                )],
            },
            Panel {
                title: "Queue",
                about: "Workspaces that wait, by lane; delayed ones wait out a batch or a backoff.",
                look: Lines,
                unit: "none",
                queries: &[("max by (lane) (anthropic_rbac:queue_depth:max)", "{{lane}}")],
            },
        ],
    ),
    (
        "The API server",
        &[
            Panel {
                title: "Requests",
                about: "Of the operator, without watches and leader election.",
                look: Lines,
                unit: "reqps",
                queries: &[(
                    "sum by (verb, kind) (anthropic_rbac:api_requests:rate5m)",
                    "{{verb}} {{kind}}",
                )],
            },
            Panel {
                title: "Failures",
                about: "Of these, answered with a server error or not at all; an alert fires above a tenth.",
                look: Lines,
                unit: "percentunit",
                queries: &[(
                    "max(anthropic_rbac:api_requests:error_ratio_rate5m)",
                    "failures",
                )],
            },
        ],
    ),
];

/// Grafana divides a line into so many parts.
const WIDTH: usize = 24;

/// Every query.
pub fn queries() -> impl Iterator<Item = &'static str> {
    let panels = ROWS.iter().flat_map(|(_, panels)| *panels);
    panels.flat_map(|panel| panel.queries.iter().map(|(query, _)| *query))
}

/// The dashboard as Grafana imports it.
pub fn dashboard() -> Value {
    let (mut panels, mut y) = (Vec::new(), 0);
    for (title, row) in ROWS {
        let id = panels.len() + 1;
        panels.push(json!({
            "id": id, "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
        }));
        let height = if row.iter().any(Panel::is_number) {
            4
        } else {
            8
        };
        for (column, panel) in row.iter().enumerate() {
            let (left, right) = (column * WIDTH / row.len(), (column + 1) * WIDTH / row.len());
            let mut shown = panel.shown();
            shown["id"] = json!(panels.len() + 1);
            shown["gridPos"] = json!({"x": left, "y": y + 1, "w": right - left, "h": height});
            panels.push(shown);
        }
        y += 1 + height;
    }
    json!({
        "uid": "anthropic-rbac",
        "title": "anthropic-rbac",
        "description": "Who may call Claude: objects, keys and the operator",
        "tags": ["anthropic-rbac"],
        "schemaVersion": 39,
        "timezone": "utc",
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "1m",
        "editable": true,
        "graphTooltip": 1,
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
            {
                "name": "namespace", "label": "Namespace of keys", "type": "query",
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "query": {"query": NAMESPACES, "refId": "namespaces"},
                "includeAll": true, "allValue": ".*", "multi": true, "refresh": 2, "sort": 1,
                "current": {"text": "All", "value": "$__all"},
            },
        ]},
        "links": [{
            "type": "link", "title": "Runbooks", "targetBlank": true,
            "url": "https://github.com/anthropic-rbac/anthropic-rbac/blob/main/docs/runbooks.md",
        }],
        "panels": panels,
    })
}

/// Where the namespaces to choose from come from.
pub const NAMESPACES: &str = "label_values(anthropic_rbac_api_key_rotation_state, namespace)";

// === impl Panel ===

impl Panel {
    fn is_number(&self) -> bool {
        matches!(self.look, RedFrom(_) | GreenFrom(_))
    }

    /// Without id and place.
    fn shown(&self) -> Value {
        let kind = match self.look {
            RedFrom(_) | GreenFrom(_) => "stat",
            Lines => "timeseries",
            Table => "table",
        };
        let steps = match self.look {
            RedFrom(at) => {
                json!([{"color": "green", "value": null}, {"color": "red", "value": at}])
            }
            GreenFrom(at) => {
                json!([{"color": "red", "value": null}, {"color": "green", "value": at}])
            }
            Lines | Table => json!([{"color": "green", "value": null}]),
        };
        let datasource = json!({"type": "prometheus", "uid": "${datasource}"});
        let targets = self.queries.iter().zip('A'..).map(|((query, legend), id)| {
            let mut target = json!({
                "refId": id, "expr": query, "legendFormat": legend, "datasource": datasource,
                "instant": self.look != Lines, "range": self.look == Lines,
            });
            if self.look == Table {
                target["format"] = json!("table");
            }
            target
        });
        let mut shown = json!({
            "type": kind,
            "title": self.title,
            "description": self.about,
            "datasource": datasource,
            "targets": targets.collect::<Vec<_>>(),
            "fieldConfig": {
                "defaults": {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}},
                "overrides": [],
            },
        });
        if self.look == Table {
            shown["transformations"] = json!([{"id": "organize", "options": {
                "excludeByName": {"Time": true, "__name__": true},
                "renameByName": {"Value": "due in"},
            }}]);
        }
        shown
    }
}

#[test]
fn panels_have_ids_of_their_own_and_stand_beside_each_other() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let place = |panel: &Value, side: &str| panel["gridPos"][side].as_u64().unwrap();
    for (at, panel) in panels.iter().enumerate() {
        assert_eq!(panel["id"], at + 1);
        assert!(place(panel, "x") + place(panel, "w") <= 24, "{panel}");
        for other in &panels[..at] {
            let apart = |from, length| {
                let end = |panel| place(panel, from) + place(panel, length);
                end(other) <= place(panel, from) || end(panel) <= place(other, from)
            };
            assert!(apart("x", "w") || apart("y", "h"), "{panel} and {other}");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        for words in ["title", "description"] {
            assert!(!panel[words].as_str().unwrap().is_empty(), "{panel}");
        }
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
    }
}
