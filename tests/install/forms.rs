//! The install forms: each choice as values of the chart and as a kustomization.
//! Must not render them.

/// One set of choices, said twice.
pub(crate) struct Form {
    /// What it is.
    pub(crate) name: &'static str,
    /// As values of the chart.
    pub(crate) values: &'static str,
    /// As files for kustomize; `@` stands for the folder `deploy`.
    pub(crate) kustomization: &'static [(&'static str, &'static str)],
}

const fn form(
    name: &'static str,
    values: &'static str,
    kustomization: &'static [(&'static str, &'static str)],
) -> Form {
    Form {
        name,
        values,
        kustomization,
    }
}

/// All that are documented, alone and together.
pub(crate) const FORMS: &[Form] = &[
    form(
        "base",
        "{}",
        &[("kustomization.yaml", "resources: ['@/base']")],
    ),
    form(
        "every Secret",
        "secrets: {access: cluster}",
        &[(
            "kustomization.yaml",
            "resources: ['@/overlays/cluster-wide-secrets']",
        )],
    ),
    form(
        "Secrets and gateway pods of a namespace",
        "
secrets: {access: namespaces, namespaces: [claude]}
gatewayPods: {namespaces: [claude]}",
        &[(
            "kustomization.yaml",
            "
resources: ['@/base']
components: ['@/components/secret-namespaces', '@/components/gateway-pods']",
        )],
    ),
    form(
        "one namespace and nothing cluster-wide",
        "
namespaces: [claude]
secrets: {access: namespaces, namespaces: [claude]}",
        &[(
            "kustomization.yaml",
            "resources: ['@/overlays/namespaced']",
        )],
    ),
    form(
        "two namespaces and nothing cluster-wide, keys and gateways in one",
        "
namespaces: [claude, search]
secrets: {access: namespaces, namespaces: [claude]}
gatewayPods: {namespaces: [claude]}",
        &[
            (
                "kustomization.yaml",
                "
resources: ['@/overlays/namespaced', claude, search]
patches:
- target: {kind: Deployment, name: anthropic-rbac}
  patch: |
    - {op: replace, path: /spec/template/spec/containers/0/args/4, value: '--namespaces=claude,search'}",
            ),
            (
                "claude/kustomization.yaml",
                "
namespace: claude
resources: ['@/namespace/gateway-pods']",
            ),
            (
                "search/kustomization.yaml",
                "
namespace: search
resources: ['@/namespace']
patches:
- patch: |
    {$patch: delete, apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: anthropic-rbac-secrets}}
- patch: |
    {$patch: delete, apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: anthropic-rbac-secrets}}",
            ),
        ],
    ),
    form(
        "hardened",
        "networkPolicy: {enabled: true}",
        &[("kustomization.yaml", "resources: ['@/overlays/hardened']")],
    ),
    form(
        "hardened, the API server's address known",
        "networkPolicy: {enabled: true, apiServer: {cidrs: [10.0.0.1/32, 'fd00::/8'], ports: [6443]}}",
        &[(
            "kustomization.yaml",
            "
resources: ['@/overlays/hardened']
patches:
- target: {kind: NetworkPolicy, name: ^anthropic-rbac$}
  patch: |
    - op: replace
      path: /spec/egress/0
      value:
        to: [{ipBlock: {cidr: 10.0.0.1/32}}, {ipBlock: {cidr: 'fd00::/8'}}]
        ports: [{port: 6443, protocol: TCP}]",
        )],
    ),
    form(
        "monitored",
        "monitoring: {enabled: true}",
        &[(
            "kustomization.yaml",
            "
resources: ['@/base']
components: ['@/components/monitoring']",
        )],
    ),
    form(
        "without the guard",
        "guard: {enabled: false}",
        &[(
            "kustomization.yaml",
            "
resources: ['@/base']
components: ['@/components/without-guard']",
        )],
    ),
    form(
        "for a developer",
        "
replicas: 1
secrets: {access: cluster}
log: {format: text, level: 'anthropic_rbac=debug,info'}",
        &[("kustomization.yaml", "resources: ['@/overlays/dev']")],
    ),
    form(
        "an image of one's own",
        "image: {repository: registry.example/anthropic-rbac, digest: 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}",
        &[(
            "kustomization.yaml",
            "
resources: ['@/base']
images:
- name: anthropic-rbac
  newName: registry.example/anthropic-rbac
  digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        )],
    ),
    form(
        "a model catalogue of one's own",
        "models: |\n  source: ours\n  asOf: 2026-12-01\n  models: []\n",
        &[
            (
                "kustomization.yaml",
                "resources: ['@/base', models.yaml]",
            ),
            (
                "models.yaml",
                "
apiVersion: v1
kind: ConfigMap
metadata:
  name: anthropic-rbac-models
  namespace: anthropic-rbac-system
  labels: {app.kubernetes.io/name: anthropic-rbac}
data:
  models.yaml: |
    source: ours
    asOf: 2026-12-01
    models: []
",
            ),
        ],
    ),
];
