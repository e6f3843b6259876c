//! The command line's help, as it prints it. Must not say anything that it does not.

use clap::{Arg, Command, CommandFactory as _};

use super::{Page, plain, table, titled};
use crate::cli::Cli;

/// The program, with what clap fills in when it parses, for a terminal of 100 columns.
fn program() -> Command {
    let mut program = Cli::command().term_width(100);
    program.build();
    program
}

/// Every command with its help.
pub(super) fn all() -> Page {
    let mut program = program();
    let mut text = titled("Command line");
    text += "Also `kubectl anthropic-rbac`, when the binary is on PATH as `kubectl-anthropic_rbac`. `-o json` gives programs what `-o text` gives people.\n\n";
    text += &help("anthropic-rbac", &mut program);
    for command in program.get_subcommands_mut() {
        let name = command.get_name().to_owned();
        if command.is_hide_set() || name == "help" {
            continue;
        }
        text += &format!("\n## {name}\n\n");
        text += &help(&format!("anthropic-rbac {name}"), command);
    }
    Page {
        name: "commands",
        text,
    }
}

fn help(called: &str, command: &mut Command) -> String {
    // clap prints the short one where no argument has more to say.
    let mut said = command.render_long_help().to_string();
    if !said.contains("(see a summary with '-h')") {
        said = command.render_help().to_string();
    }
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    let said = lines.join("\n");
    format!(
        "<!-- test: output of {called} --help -->\n```text\n{}\n```\n",
        said.trim_end()
    )
}

/// The flags of the operator alone: what goes into its Deployment's `args`.
pub(super) fn operator() -> Page {
    let program = program();
    let operator = program.find_subcommand("operator").expect("it is there");
    let mut text = titled("Operator");
    text += "Flags of `anthropic-rbac operator`, as they stand in the Deployment's `args`. [Its help](commands.md#operator) has examples and the environment, too.\n\n";
    let flags = operator.get_arguments().filter(|flag| {
        !flag.is_hide_set() && !["help", "version"].contains(&flag.get_id().as_str())
    });
    let rows = flags.map(|flag| {
        let meaning = flag.get_help().map(ToString::to_string).unwrap_or_default();
        [name(flag), default(flag), plain(&meaning)]
    });
    text += &table(["flag", "default", "means"], rows);
    Page {
        name: "operator",
        text,
    }
}

/// The flag with what it takes.
fn name(flag: &Arg) -> String {
    let long = flag.get_long().unwrap_or_default();
    let values: Vec<String> = flag
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    let placeholders = flag.get_value_names().unwrap_or_default();
    match (flag.get_action().takes_values(), values.is_empty()) {
        (false, _) => format!("`--{long}`"),
        (true, false) => format!("`--{long}={}`", values.join("\\|")),
        (true, true) => format!("`--{long}={}`", placeholders.join(" ")),
    }
}

fn default(flag: &Arg) -> String {
    let values = flag.get_default_values().iter();
    let values: Vec<String> = values
        .map(|value| format!("`{}`", value.display()))
        .collect();
    match flag.get_action().takes_values() {
        true => values.join(" "),
        false => "off".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is typed for the program in a line of help: up to where the shell goes on.
    fn typed(line: &str) -> Option<Vec<String>> {
        let (_, line) = line.split_once("anthropic-rbac ")?;
        let line = line.split(['|', '>', '&', '#', ')']).next()?;
        // A text in quotes is one word.
        let mut words = vec!["anthropic-rbac".to_owned()];
        for (at, part) in line.split('"').enumerate() {
            match at % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        Some(words)
    }

    #[test]
    fn every_example_in_help_is_understood() {
        let mut program = program();
        let mut understood = 0;
        let helps: Vec<String> = std::iter::once(&program)
            .chain(program.get_subcommands())
            .filter_map(|command| command.get_after_help().map(ToString::to_string))
            .collect();
        for help in helps {
            let help = help.replace("\\\n", "");
            let lines = help.lines().skip_while(|line| !line.starts_with("Example"));
            let examples = lines.skip(1).take_while(|line| line.starts_with("  "));
            for words in examples.filter_map(typed) {
                let parsed = program.try_get_matches_from_mut(&words);
                assert!(parsed.is_ok(), "{words:?}: {}", parsed.unwrap_err());
                understood += 1;
            }
        }
        assert!(understood > 40, "{understood} examples");
    }
}
