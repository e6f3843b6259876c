//! `console.json`: who should be a member of the Anthropic Console, and as what. E-mail
//! addresses, so nothing a gateway mounts may hold it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::policy::name::{Name, NamespacedName};

/// Name of the file.
pub const FILE: &str = "console.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    version: &'static str,
    workspace: String,
    members: &'a BTreeMap<Name, BTreeSet<Name>>,
}

/// The file of a workspace: people by role, both sorted.
pub fn render(workspace: &NamespacedName, members: &BTreeMap<Name, BTreeSet<Name>>) -> String {
    let document = Document {
        version: "v1",
        workspace: workspace.to_string(),
        members,
    };
    let mut text = serde_json::to_string_pretty(&document).expect("names are text");
    text.push('\n');
    text
}
