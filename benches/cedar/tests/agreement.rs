//! The table and Cedar answer alike, whatever is asked. `AGREEMENT_REQUESTS` raises the count.

use cedar_policy::Authorizer;
use decision_cost::{Random, pair};

const REQUESTS: usize = 200_000;
const OF_EACH_POLICY: usize = 200;

#[test]
fn the_table_and_cedar_answer_alike() {
    let requests = std::env::var("AGREEMENT_REQUESTS")
        .ok()
        .and_then(|text| text.parse().ok());
    let (mut allowed, mut asked) = (0, 0);
    let authorizer = Authorizer::new();
    for seed in 0..(requests.unwrap_or(REQUESTS) / OF_EACH_POLICY) as u64 {
        let pair = pair(seed, 100);
        let random = &mut Random::new(seed ^ 0xabcd);
        for _ in 0..OF_EACH_POLICY {
            let question = pair.question(random);
            let got = pair.by_table(&question);
            assert_eq!(
                got,
                pair.by_cedar(&authorizer, &question.for_cedar()),
                "policy {seed}: {question}"
            );
            allowed += usize::from(got);
            asked += 1;
        }
    }
    println!("{asked} requests, {allowed} of them allowed");
    assert!(
        allowed * 20 > asked && allowed * 2 < asked * 19,
        "both answers must be common"
    );
}
