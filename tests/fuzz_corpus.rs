//! Every fuzz target on its committed corpus, and on what a few random changes make of it.
//! `FUZZ_ROUNDS` raises how many changes; cargo-fuzz, see `fuzz/Cargo.toml`, finds more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![cfg(feature = "operator")]

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::path::PathBuf;
use std::{env, fs};

fn corpus(of: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(of);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{of} has no corpus");
    let read = |file: PathBuf| (file.clone(), fs::read(file).unwrap());
    files.into_iter().map(read).collect()
}

/// Small numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % most.max(1)
    }
}

/// One change: a byte replaced, a piece left out, doubled, or taken from another input.
fn changed(input: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const BYTES: &[u8] = b"\0\t\n -:*/\\\"'{}[]#&!|>%@09azAZ\x7f\xc3\xff";
    let mut bytes = input.to_vec();
    let at = numbers.below(bytes.len());
    let to = (at + numbers.below(24)).min(bytes.len());
    match numbers.below(4) {
        0 if at < bytes.len() => bytes[at] = BYTES[numbers.below(BYTES.len())],
        1 => drop(bytes.drain(at..to)),
        2 => {
            let piece = bytes[at..to].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => {
            let from = numbers.below(other.len());
            let piece = other[from..].iter().take(24).copied();
            bytes.splice(at..at, piece);
        }
    }
    bytes
}

#[test]
fn no_target_panics_on_its_corpus_nor_near_it() {
    let rounds = env::var("FUZZ_ROUNDS").map_or(40, |rounds| rounds.parse().unwrap());
    for (name, target) in bodies::TARGETS {
        let inputs = corpus(name);
        let mut numbers = Numbers(7);
        for (file, input) in &inputs {
            let run = |bytes: &[u8]| {
                let outcome = std::panic::catch_unwind(|| target(bytes));
                assert!(
                    outcome.is_ok(),
                    "{name} panics on {}, changed to {:?}",
                    file.display(),
                    String::from_utf8_lossy(bytes)
                );
            };
            run(input);
            let mut bytes = input.clone();
            for round in 0..rounds {
                let other = &inputs[numbers.below(inputs.len())].1;
                bytes = changed(&bytes, other, &mut numbers);
                run(&bytes);
                if round % 8 == 7 {
                    bytes.clone_from(input);
                }
            }
        }
    }
}

/// Without this, a target that takes nothing would pass as well.
#[test]
fn the_corpus_reaches_what_the_targets_are_about() {
    let policies = corpus("policy");
    let read = policies.iter().filter(|(_, text)| {
        let text = String::from_utf8_lossy(text);
        anthropic_rbac::gateway::policy_json::parse(&text, &[]).is_ok()
    });
    assert!(read.count() >= 3, "policies that are read");
    let admitted = corpus("manifests").into_iter().filter(|(_, text)| {
        let text = String::from_utf8_lossy(text);
        serde_saphyr::from_multiple::<serde_json::Value>(&text).is_ok_and(|documents| {
            let admit = |document| anthropic_rbac::api::admission::admit(document).is_ok();
            documents.iter().any(admit)
        })
    });
    assert!(admitted.count() >= 5, "manifests that are admitted");
}
