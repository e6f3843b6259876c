//! What one decision costs: the table against Cedar, on the same policies and questions, in one
//! run. Each engine has the machine's caches to itself: it answers all of its questions in a row,
//! once unmeasured. Medians, on this machine.
//!
//! Two loads. *Busy*: the same 500 questions again and again, of callers picked among all; what
//! deciding itself takes in a policy of that size. *Anyone*: 50,000 questions, so that nearly each
//! finds its caller's row out of the caches. What that adds is the wait for memory: reading the
//! row without deciding anything grows by as much.

use std::hint::black_box;
use std::time::Instant;

use cedar_policy::Authorizer;
use decision_cost::{Pair, Question, Random, pair};

const SIZES: [usize; 3] = [1_000, 10_000, 50_000];
/// Different questions of the busy load, and of the other.
const BUSY: usize = 500;
const ANYONE: usize = 50_000;
/// Measured passes over the questions.
const PASSES: usize = 21;

fn main() {
    println!(
        "{:>9}  {:>8}  {:>10}  {:>6}  {:>6}  {:>10}  {:>6}  {:>6}",
        "", "", "busy", "", "", "anyone", "", ""
    );
    println!(
        "{:>9}  {:>8}  {:>10}  {:>6}  {:>6}  {:>10}  {:>6}  {:>6}",
        "subjects", "Cedar ns", "table ns", "to 1k", "Cedar", "table ns", "to 1k", "Cedar"
    );
    let authorizer = Authorizer::new();
    let mut first = None;
    for subjects in SIZES {
        let pair = pair(open_seed(), subjects);
        let [busy, anyone] = [BUSY, ANYONE].map(|n| questions(&pair, n));
        let requests: Vec<_> = busy.iter().map(Question::for_cedar).collect();
        let cedar = median(&requests, |request| pair.by_cedar(&authorizer, request));
        let table = [&busy, &anyone].map(|of| median(of, |question| pair.by_table(question)));
        let of_1k = first.get_or_insert(table);
        let figures = |i: usize| {
            let (to_1k, dearer) = (table[i] / of_1k[i], cedar / table[i]);
            format!("{:>10.0}  {to_1k:>5.2}x  {dearer:>5.0}x", table[i])
        };
        println!(
            "{subjects:>9}  {cedar:>8.0}  {}  {}",
            figures(0),
            figures(1)
        );
    }
}

/// A seed whose policy lets some in: one that lets nobody in would be cheap for both.
fn open_seed() -> u64 {
    let lets_some_in = |seed: &u64| {
        let pair = pair(*seed, 200);
        let asked = questions(&pair, 200);
        asked
            .iter()
            .filter(|question| pair.by_table(question))
            .count()
            > 40
    };
    (0..).find(lets_some_in).expect("one of all numbers")
}

fn questions(pair: &Pair, n: usize) -> Vec<Question<'_>> {
    let random = &mut Random::new(7);
    (0..n).map(|_| pair.question(random)).collect()
}

/// The cost of one question in nanoseconds: of the median pass over all of them, after one that
/// is not measured.
fn median<Q>(questions: &[Q], answer: impl Fn(&Q) -> bool) -> f64 {
    let pass = || {
        let start = Instant::now();
        questions.iter().for_each(|question| {
            black_box(answer(black_box(question)));
        });
        start.elapsed().as_nanos() as f64 / questions.len() as f64
    };
    pass();
    let mut figures: Vec<f64> = (0..PASSES).map(|_| pass()).collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures[PASSES / 2]
}
