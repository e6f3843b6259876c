//! What one decision costs: the table against Cedar, on the same policies and requests, in one
//! run. Medians over batches, on this machine.

use std::hint::black_box;
use std::time::Instant;

use cedar_policy::Authorizer;
use decision_cost::{Pair, Question, Random, pair};

const BATCHES: usize = 21;
/// Requests of one batch; Cedar, so much slower, gets fewer.
const BATCH: [usize; 2] = [5_000, 200];

fn main() {
    println!(
        "{:>9}  {:>12}  {:>12}  {:>7}",
        "subjects", "table ns", "Cedar ns", "ratio"
    );
    let authorizer = Authorizer::new();
    for subjects in [1_000, 10_000, 50_000] {
        // A policy that lets nobody in would be cheap for both.
        let seed = (0..).find(|seed| {
            let pair = pair(*seed, 200);
            let random = &mut Random::new(*seed);
            (0..200)
                .filter(|_| pair.by_table(&pair.question(random)))
                .count()
                > 40
        });
        let pair = pair(seed.expect("one of all numbers"), subjects);
        let table = median(&pair, BATCH[0], |question| pair.by_table(question));
        let cedar = median(&pair, BATCH[1], |question| {
            pair.by_cedar(&authorizer, question)
        });
        println!(
            "{subjects:>9}  {table:>12}  {cedar:>12}  {:>6}x",
            cedar / table.max(1)
        );
    }
}

/// The median cost of one request, in nanoseconds, over batches of different requests.
fn median(pair: &Pair, batch: usize, answer: impl Fn(&Question<'_>) -> bool) -> u128 {
    let random = &mut Random::new(7);
    let mut figures: Vec<u128> = (0..BATCHES)
        .map(|_| {
            let questions: Vec<_> = (0..batch).map(|_| pair.question(random)).collect();
            let start = Instant::now();
            questions.iter().for_each(|question| {
                black_box(answer(black_box(question)));
            });
            start.elapsed().as_nanos() / batch as u128
        })
        .collect();
    figures.sort_unstable();
    figures[BATCHES / 2]
}
