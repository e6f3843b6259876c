//! Label selectors, with the meaning Kubernetes gives them.
//! Must not know whose labels they are.

use std::collections::BTreeMap;

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

#[cfg(test)]
mod tests {
    use super::*;

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
