//! One object of a plan as a manifest. Text comes out byte for byte as it went in.
//! Must not write a key's bytes unless it was given them for that.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::api::metadata::{CONTENT_SHA256, KEY_VERSIONS};
use crate::cli::failure::Failure;
use crate::cli::folder::Readers;
use crate::facts::OutputKind;
use crate::material::KeyMaterial;
use crate::plan::output::{Content, KeyHandle, Output};
use crate::policy::name::{Name, NamespacedName};

/// A manifest, ready to be written.
pub struct Manifest {
    /// All of it.
    pub text: Zeroizing<String>,
    /// Who may read it.
    pub readers: Readers,
    /// Data keys whose values were asked for and are not known.
    pub missing: Vec<Name>,
}

/// Values of Secrets.
pub enum Keys<'a> {
    /// None is written.
    None,
    /// Those of these Secrets are written.
    From(&'a BTreeMap<NamespacedName, BTreeMap<Name, KeyMaterial>>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    secret_type: Option<&'a str>,
    data: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
}

/// Said at the top of a Secret that holds nothing.
const WITHOUT_VALUES: &str =
    "# Without values: the operator fills them in. Keys belong into no repository.\n";

/// Renders an object.
pub fn of(output: &Output, keys: &Keys<'_>) -> Result<Manifest, Failure> {
    let is_secret = output.id.kind == OutputKind::Secret;
    let mut missing = Vec::new();
    let mut written_keys = false;
    let mut data: BTreeMap<&str, Zeroizing<String>> = BTreeMap::new();
    for (name, content) in &output.data {
        let value = match content {
            Content::Text(text) => Zeroizing::new(text.to_string()),
            Content::Emptied | Content::Kept(_) => Zeroizing::default(),
            Content::Key(handle) => match (material(handle, keys), keys) {
                (Some(key), _) => {
                    written_keys = true;
                    encoded(key.expose())
                }
                (None, Keys::None) => Zeroizing::default(),
                (None, Keys::From(_)) => {
                    missing.push(name.clone());
                    Zeroizing::default()
                }
            },
        };
        data.insert(&**name, value);
    }

    let hollow = is_secret && !written_keys;
    // These speak of values, which are not there.
    let says_values = |name: &str| [CONTENT_SHA256, KEY_VERSIONS].contains(&name);
    let object = Object {
        api_version: "v1",
        kind: output.id.kind.name(),
        metadata: Metadata {
            name: &output.id.name.name,
            namespace: &output.id.name.namespace,
            labels: borrowed(&output.labels).collect(),
            annotations: borrowed(&output.annotations)
                .filter(|(name, _)| !(hollow && says_values(name)))
                .collect(),
        },
        secret_type: output
            .secret_type
            .as_deref()
            .or(is_secret.then_some("Opaque")),
        data: data
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect(),
    };
    let yaml = yaml(&object)?;
    let text = if hollow {
        Zeroizing::new(format!("{WITHOUT_VALUES}{}", *yaml))
    } else {
        yaml
    };
    let readers = if written_keys {
        Readers::Owner
    } else {
        Readers::Usual
    };
    Ok(Manifest {
        text,
        readers,
        missing,
    })
}

/// The key behind a handle, if it is at hand and still the one that is meant.
fn material<'a>(handle: &KeyHandle, keys: &Keys<'a>) -> Option<&'a KeyMaterial> {
    let Keys::From(secrets) = keys else {
        return None;
    };
    let key = secrets
        .get(&handle.source.secret())?
        .get(&handle.source.key)?;
    (key.facts().digest == handle.digest).then_some(key)
}

fn encoded(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(bytes))
}

fn yaml(object: &Object<'_>) -> Result<Zeroizing<String>, Failure> {
    let options = serde_saphyr::ser_options! {
        // Folding would be exact, too, but nobody could tell by looking.
        folded_wrap_chars: usize::MAX,
    };
    serde_saphyr::to_string_with_options(object, options)
        .map(Zeroizing::new)
        .map_err(|error| Failure::Failed(format!("cannot write YAML: {error}")))
}

fn borrowed(map: &BTreeMap<Name, Name>) -> impl Iterator<Item = (&str, &str)> {
    map.iter().map(|(key, value)| (&**key, &**value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::OutputId;
    use crate::plan::output::Owner;
    use crate::policy::finding::Kind;
    use crate::policy::key::SecretKey;
    use proptest::prelude::*;

    const KEY: &str = "sk-ant-api03-EXAMPLE-key";

    fn output(id: OutputId, content: Content) -> Output {
        Output {
            id,
            owner: Owner::Controller {
                kind: Kind::Workspace,
                name: "w".into(),
                uid: None,
                heirs: Vec::new(),
            },
            labels: [("app".into(), "yes".into())].into(),
            annotations: [
                (CONTENT_SHA256.into(), "abc".into()),
                ("other".into(), "1".into()),
            ]
            .into(),
            data: [("k".into(), content)].into(),
            secret_type: None,
        }
    }

    fn key_secret() -> (
        Output,
        BTreeMap<NamespacedName, BTreeMap<Name, KeyMaterial>>,
    ) {
        let material = KeyMaterial::new(KEY.as_bytes().to_vec());
        let source = SecretKey {
            namespace: "a".into(),
            name: "s".into(),
            key: "x".into(),
        };
        let handle = KeyHandle {
            source: source.clone(),
            digest: material.facts().digest,
        };
        let secrets = [(source.secret(), [(source.key, material)].into())].into();
        (
            output(OutputId::secret("a", "t"), Content::Key(handle)),
            secrets,
        )
    }

    #[test]
    fn a_config_map_reads_back_as_it_is() {
        let text = "{\n  \"a\": 1\n}\n";
        let output = output(
            OutputId::config_map("ns", "w.policy"),
            Content::Text(text.into()),
        );
        let manifest = of(&output, &Keys::None).expect("YAML");
        assert_eq!(
            *manifest.text,
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: w.policy\n  namespace: ns\n  labels:\n    \
             app: \"yes\"\n  annotations:\n    anthropic-rbac.io/content-sha256: abc\n    other: \"1\"\ndata:\n  \
             k: |\n    {\n      \"a\": 1\n    }\n"
        );
    }

    #[test]
    fn a_secret_holds_its_value_only_when_asked_for_and_known() {
        let (output, secrets) = key_secret();
        let hollow = of(&output, &Keys::None).expect("YAML");
        assert!(
            hollow.text.starts_with(WITHOUT_VALUES) && hollow.text.ends_with("  k: \"\"\n"),
            "{}",
            *hollow.text
        );
        assert!(!hollow.text.contains(CONTENT_SHA256) && hollow.text.contains("other"));
        assert_eq!((hollow.readers, hollow.missing.len()), (Readers::Usual, 0));
        let full = of(&output, &Keys::From(&secrets)).expect("YAML");
        assert!(
            full.text.contains("k: c2stYW50LWFwaTAzLUVYQU1QTEUta2V5"),
            "{}",
            *full.text
        );
        assert!(full.text.contains(CONTENT_SHA256) && full.readers == Readers::Owner);
        let elsewhere = BTreeMap::new();
        let unknown = of(&output, &Keys::From(&elsewhere)).expect("YAML");
        assert_eq!(
            (unknown.readers, unknown.missing),
            (Readers::Usual, vec!["k".into()])
        );
        assert_eq!(*unknown.text, *hollow.text);
    }

    #[test]
    fn a_value_that_is_no_longer_the_one_meant_is_not_written() {
        let (output, mut secrets) = key_secret();
        let secret = secrets.values_mut().next().expect("one");
        secret.insert(
            "x".into(),
            KeyMaterial::new(b"sk-ant-api03-EXAMPLE-other".to_vec()),
        );
        assert_eq!(
            of(&output, &Keys::From(&secrets)).expect("YAML").missing,
            ["k".into()]
        );
    }

    proptest! {
        #[test]
        fn any_text_reads_back_byte_for_byte(text in "(\\PC|[ \\t\\n\\r\u{85}\u{2028}#:>|'\"\\-]){0,200}") {
            let output = output(OutputId::config_map("a", "b"), Content::Text(text.as_str().into()));
            let manifest = of(&output, &Keys::None).expect("YAML");
            let back: serde_json::Value = serde_saphyr::from_str(&manifest.text).expect("YAML");
            prop_assert_eq!(back["data"]["k"].as_str(), Some(text.as_str()), "{}", *manifest.text);
        }
    }
}
