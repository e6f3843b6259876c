//! The custom resource definitions.
use anthropic_rbac::api::crd;

#[test]
fn committed_definitions_are_the_generated_ones() {
    for crd in crd::all() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("crds")
            .join(crd::file_name(&crd));
        let generated = crd::yaml(&crd).unwrap();
        if std::env::var_os("UPDATE_CRDS").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap_or_default(),
            generated
        );
    }
}
