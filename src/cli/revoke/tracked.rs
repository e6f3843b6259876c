//! Whether a GitOps tool keeps an object, and would put it back as it is in Git.
//! Must not ask the tool.

use kube::api::ObjectMeta;

/// Marks that tools leave on what they keep, by the tool.
const MARKS: [(&str, &str); 5] = [
    ("kustomize.toolkit.fluxcd.io/name", "Flux Kustomization"),
    ("helm.toolkit.fluxcd.io/name", "Flux HelmRelease"),
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("argocd.argoproj.io/instance", "Argo CD application"),
    ("meta.helm.sh/release-name", "Helm release"),
];

/// Field managers of tools, for objects that carry no mark.
const MANAGERS: [(&str, &str); 4] = [
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
    ("argocd-controller", "Argo CD"),
    ("argocd-application-controller", "Argo CD"),
];

/// The tool that keeps it, if any.
pub fn by(meta: &ObjectMeta) -> Option<String> {
    let (labels, annotations) = (meta.labels.as_ref(), meta.annotations.as_ref());
    let mark = |name: &str| {
        let label = labels.and_then(|labels| labels.get(name));
        label.or_else(|| annotations.and_then(|annotations| annotations.get(name)))
    };
    let marked = MARKS
        .iter()
        .find_map(|(name, tool)| Some(format!("{tool} {}", mark(name)?)));
    marked.or_else(|| {
        let managers = meta.managed_fields.iter().flatten();
        let mut managers = managers.filter_map(|fields| fields.manager.as_deref());
        let tool = managers.find_map(|manager| MANAGERS.iter().find(|(name, _)| *name == manager));
        tool.map(|(_, tool)| (*tool).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn kept_by(meta: Value) -> Option<String> {
        by(&serde_json::from_value(meta).expect("metadata"))
    }

    #[test]
    fn a_tool_is_known_by_its_mark_or_as_a_field_manager() {
        let argo = json!({"annotations": {
            "argocd.argoproj.io/tracking-id": "keys:anthropic-rbac.io/ApiKeyRef:claude/a",
        }});
        assert_eq!(
            kept_by(argo).as_deref(),
            Some("Argo CD keys:anthropic-rbac.io/ApiKeyRef:claude/a")
        );
        let flux = json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "keys"}});
        assert_eq!(kept_by(flux).as_deref(), Some("Flux Kustomization keys"));
        let unmarked = json!({"managedFields": [{"manager": "argocd-controller"}]});
        assert_eq!(kept_by(unmarked).as_deref(), Some("Argo CD"));
    }

    #[test]
    fn what_people_apply_is_kept_by_no_tool() {
        let by_hand = json!({
            "labels": {"app.kubernetes.io/instance": "keys"},
            "managedFields": [{"manager": "kubectl-client-side-apply"}, {"manager": "anthropic-rbac"}],
        });
        assert_eq!(kept_by(by_hand), None);
    }
}
