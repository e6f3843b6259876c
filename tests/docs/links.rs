//! What documents refer to: files, headings, make targets; and the book's table of contents.
//! Must not read prose.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{ROOT, documents, read};

/// Everything that leads nowhere.
pub(crate) fn broken() -> Vec<String> {
    let mut wrong = Vec::new();
    for document in documents(&["*.md"]) {
        let text = without_blocks(&read(&document));
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let folder = Path::new(&document).parent().unwrap_or(Path::new(""));
            let target = match path {
                "" => PathBuf::from(&document),
                path => normal(&folder.join(path)),
            };
            if !Path::new(ROOT).join(&target).exists() {
                wrong.push(format!("{document}: {link} leads nowhere"));
            } else if !heading.is_empty() && !headings(&target).contains(heading) {
                wrong.push(format!("{document}: {link} names no heading"));
            }
        }
        let targets = text
            .split("`make ")
            .skip(1)
            .filter_map(|rest| rest.split(['`', ' ']).next());
        for target in targets {
            if !read("Makefile").contains(&format!("\n{target}:")) {
                wrong.push(format!("{document}: there is no make target '{target}'"));
            }
        }
    }
    wrong
}

/// Pages that the book lacks, or has twice.
pub(crate) fn missing_pages() -> Vec<String> {
    let summary = read("docs/SUMMARY.md");
    let listed = links(&summary).into_iter();
    let listed: Vec<String> = listed.map(|link| format!("docs/{link}")).collect();
    let pages: BTreeSet<String> = documents(&["docs/*.md"]).into_iter().collect();
    let wanted = pages.iter().filter(|page| *page != "docs/SUMMARY.md");
    wanted
        .filter(|page| listed.iter().filter(|link| link == page).count() != 1)
        .map(|page| format!("docs/SUMMARY.md does not list {page} once"))
        .collect()
}

fn links(text: &str) -> Vec<String> {
    // What is code is no link, such as a pattern of a rule.
    let prose: String = text.split('`').step_by(2).collect();
    let rest = prose.split("](").skip(1);
    let links = rest.filter_map(|rest| rest.split(')').next());
    links.map(str::to_owned).collect()
}

/// What a heading is called in a link, as GitHub and mdBook do it.
fn headings(document: &Path) -> BTreeSet<String> {
    let text = without_blocks(&read(&document.to_string_lossy()));
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let repeated = (1..).map(|n| format!("{slug}-{n}"));
        let slug = std::iter::once(slug.clone())
            .chain(repeated)
            .find(|slug| !found.contains(slug));
        found.extend(slug);
    }
    found
}

fn without_blocks(text: &str) -> String {
    let mut inside = false;
    let prose = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    prose.collect::<Vec<_>>().join("\n")
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(normal.pop()),
            std::path::Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}
