//! Label selectors, with the meaning Kubernetes gives them.
//! Must not know whose labels they are.

use std::collections::BTreeMap;
use std::fmt;

use super::name::Name;

/// Labels of an object.
pub type Labels = BTreeMap<Name, Name>;

/// All requirements must hold; none at all selects everything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selector(pub Vec<Requirement>);

/// One condition on one label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requirement {
    /// The label.
    pub key: Name,
    /// What must be so of it.
    pub operator: Operator,
}

/// What must be so of a label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operator {
    /// It is there with one of these values.
    In(Vec<Name>),
    /// It is absent, or has none of these values.
    NotIn(Vec<Name>),
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
}

impl Selector {
    /// Whether all requirements hold for these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.operator {
                Operator::In(values) => value.is_some_and(|v| values.contains(v)),
                Operator::NotIn(values) => value.is_none_or(|v| !values.contains(v)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    }
}

/// As `kubectl --selector` and list requests take it.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Requirement { key, operator }) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match operator {
                Operator::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Operator::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Operator::Exists => f.write_str(key)?,
                Operator::DoesNotExist => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_written_as_list_requests_take_it() {
        let requirement = |key: &str, operator| Requirement {
            key: key.into(),
            operator,
        };
        let values = || vec!["a".into(), "b".into()];
        let selector = Selector(vec![
            requirement("app", Operator::In(values())),
            requirement("tier", Operator::NotIn(values())),
            requirement("team", Operator::Exists),
            requirement("old", Operator::DoesNotExist),
        ]);
        assert_eq!(
            selector.to_string(),
            "app in (a,b),tier notin (a,b),team,!old"
        );
    }

    #[test]
    fn requirements_mean_what_kubernetes_says() {
        let labels = Labels::from([("team".into(), "search".into())]);
        let holds = |key: &str, operator| {
            let requirement = Requirement {
                key: key.into(),
                operator,
            };
            Selector(vec![requirement]).matches(&labels)
        };
        assert!(holds("team", Operator::In(vec!["search".into()])));
        assert!(!holds("team", Operator::In(vec!["batch".into()])));
        assert!(!holds("other", Operator::In(vec!["search".into()])));
        assert!(holds("other", Operator::NotIn(vec!["search".into()])));
        assert!(!holds("team", Operator::NotIn(vec!["search".into()])));
        assert!(holds("team", Operator::Exists) && !holds("other", Operator::Exists));
        assert!(holds("other", Operator::DoesNotExist) && !holds("team", Operator::DoesNotExist));
        assert!(Selector::default().matches(&labels), "empty selects all");
    }
}
