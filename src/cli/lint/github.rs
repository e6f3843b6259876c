//! Findings as commands of a GitHub workflow, which shows them beside the lines of a change.
//! Must not let a text end a command, or start another.

use crate::cli::notice::Notice;
use crate::policy::finding::Severity;

/// The command that shows a finding, with its line end.
pub fn command(notice: &Notice) -> String {
    let command = match notice.rank {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let properties = [
        ("file", notice.file.clone()),
        ("line", notice.line.map(|line| line.to_string())),
        ("col", notice.column.map(|column| column.to_string())),
        ("title", Some(notice.reason.clone())),
    ];
    let properties: Vec<String> = properties
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", property(&value?))))
        .collect();
    let about: Vec<&str> = [&notice.object, &notice.field]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let message = match about.as_slice() {
        [] => notice.message.clone(),
        about => format!("{}: {}", about.join(" "), notice.message),
    };
    format!("::{command} {}::{}\n", properties.join(","), data(&message))
}

/// What stands after `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// What stands after `=`.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::manifests::problem::Problem;

    #[test]
    fn no_file_name_and_no_message_starts_a_command_of_its_own() {
        let file = "a,line=1::b%\n.yaml".into();
        let problem = Problem::of_file(&file, "100% wrong\r\n::set-output name=x::y");
        assert_eq!(
            command(&Notice::of_problem(&problem)),
            "::error file=a%2Cline=1%3A%3Ab%25%0A.yaml,title=UnreadableFile::100%25 wrong%0D%0A::set-output name=x::y\n"
        );
    }
}
